"""What becomes of a message that is accepted."""

import pytest

from mail.plan import Direction
from mail.trace import format_trace_id


def test_a_letter_is_kept_and_its_trace_id_told(mx, letter):
    client = mx.connect()

    reply = client.deliver(letter, "hi@example.org")

    kept = mx.world.kept[0].plan
    assert reply == f"250 2.0.0 Ok: queued as {format_trace_id(kept.trace_id)}"
    assert [(one.recipient, one.destination, one.route_id) for one in kept.deliveries] == [
        ("hi@example.org", "friend@there.example", 1)
    ]
    assert (kept.tenant_id, kept.direction) == (1, Direction.FORWARD)


def test_the_octets_are_stored_as_they_came_below_our_trace_field(mx, letter):
    client = mx.connect()

    client.deliver(letter, "hi@example.org")

    content = mx.world.content()
    plan = mx.world.kept[0].plan
    trace = content.removesuffix(letter)
    assert trace.startswith(b"Received: from client.example\r\n\t(unknown [127.0.0.1])")
    assert b"by mxax.test with ESMTP\r\n" in trace
    assert b"for <hi@example.org>;" in trace
    assert content[: plan.header_octets].endswith(b"Subject: Hello\r\n")
    assert content[plan.header_octets :] == b"\r\nGood morning.\r\n"
    assert plan.size_octets == len(content)


def test_the_reverse_path_goes_out_rewritten_and_the_null_one_stays_null(mx, letter):
    client = mx.connect()

    client.deliver(letter, "hi@example.org")
    client.deliver(letter, "hi@example.org", reverse_path="")

    letter_plan, bounce_plan = (one.plan for one in mx.world.kept)
    assert letter_plan.outgoing_path.startswith("SRS0=")
    assert letter_plan.outgoing_path.endswith("=sender.example=bob@fwd.mxax.test")
    assert (bounce_plan.reverse_path, bounce_plan.outgoing_path) == ("", "")


def test_a_long_reverse_path_takes_the_opaque_form_with_its_row(mx, letter):
    client = mx.connect()

    client.deliver(letter, "hi@example.org", reverse_path="b" * 80 + "@sender.example")

    plan = mx.world.kept[0].plan
    assert plan.outgoing_path.startswith("SRS0=o=")
    assert plan.opaque is not None


def test_recipients_of_two_tenants_become_two_messages_that_know_nothing_of_each_other(mx, letter):
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org", "team@example.org", "hi@other.example")

    client.data(letter)

    first, second = mx.world.kept
    assert (first.plan.tenant_id, second.plan.tenant_id) == (1, 2)
    assert first.plan.trace_id != second.plan.trace_id
    assert len(first.plan.deliveries) == 3
    assert b"other.example" not in mx.world.content(0)
    assert b"example.org" not in mx.world.content(1).removesuffix(letter)
    assert b"for <" not in mx.world.content(0)


def test_a_recipient_named_twice_is_one_delivery(mx, letter):
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org", "HI@example.org", "hi@example.org")

    client.data(letter)

    assert [one.recipient for one in mx.world.kept[0].plan.deliveries] == [
        "hi@example.org",
        "HI@example.org",
    ]


def test_several_transactions_share_a_connection(mx, letter):
    client = mx.connect()

    replies = [client.deliver(letter, "hi@example.org") for _ in range(5)]

    assert len(set(replies)) == 5
    assert len(mx.world.kept) == 5


def test_authentication_results_in_our_name_are_cut_and_no_others(mx, letter):
    client = mx.connect()
    forged = b"Authentication-Results: mxax.test; spf=pass\r\n"
    foreign = b"Authentication-Results: mx.sender.example; spf=pass\r\n"

    client.deliver(forged + foreign + letter, "hi@example.org")

    assert mx.world.content().endswith(foreign + letter)
    assert forged not in mx.world.content()


def test_a_lone_dot_line_arrives_as_one(mx):
    client = mx.connect()

    client.deliver(b"Subject: x\r\n\r\n..\r\n...two\r\n.\x2e\r\nend\r\n", "hi@example.org")

    assert mx.world.content().endswith(b"\r\n\r\n.\r\n..two\r\n.\r\nend\r\n")


def test_an_empty_message_is_a_message(mx):
    client = mx.connect()

    reply = client.deliver(b"", "hi@example.org")

    assert reply.startswith("250")
    assert mx.world.content().startswith(b"Received:")


@pytest.mark.parametrize("size", [1, 16, 1000, 70_000])
def test_a_message_in_small_writes_arrives_whole(mx, size):
    body = b"".join(b"line %d\r\n..dotted\r\n" % number for number in range(8000))
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org")
    client.say("DATA")
    octets = b"Subject: x\r\n\r\n" + body[: size * 2000] + b"\r\n.\r\n"

    for start in range(0, len(octets), size):
        client.send(octets[start : start + size])

    assert client.reply().startswith("250")
    clear = octets[:-3].replace(b"\r\n..", b"\r\n.")
    assert mx.world.content().endswith(clear)


def test_a_large_message_is_stored_in_pieces_while_it_comes(mx):
    line = b"x" * 70 + b"\r\n.." + b"y" * 20 + b"\r\n"
    octets = b"Subject: large\r\n\r\n" + line * 30_000
    client = mx.connect()

    reply = client.deliver(octets, "hi@example.org")

    assert reply.startswith("250")
    assert len(mx.world.pieces) > 5
    assert max(len(one.octets) for one in mx.world.pieces) <= 256 * 1024
    assert mx.world.content().endswith(octets.replace(b"\r\n..", b"\r\n."))
    assert mx.world.kept[0].plan.size_octets == len(mx.world.content())


def test_a_large_message_to_two_tenants_is_whole_for_both(mx):
    octets = b"Subject: large\r\n\r\n" + b"z" * 998 + b"\r\n" * 400_000
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org", "hi@other.example")

    client.data(octets)

    assert mx.world.content(0).endswith(octets)
    assert mx.world.content(1).endswith(octets)


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(mx):
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org")
    client.say("DATA")
    client.send(b"Subject: large\r\n\r\n" + b"half a line\r\n" * 60_000)
    client.close()

    other = mx.connect()
    for _ in range(100):
        if mx.world.discarded:
            break
        other.say("NOOP")

    assert mx.world.kept == []
    assert set(mx.world.discarded) == {one.trace_id for one in mx.world.pieces}


def test_the_log_line_says_what_was_accepted_without_addresses(mx, letter, capfd):
    client = mx.connect()

    client.deliver(letter, "hi@example.org")

    line = [line for line in capfd.readouterr().err.splitlines() if "mail.accepted" in line][-1]
    assert format_trace_id(mx.world.kept[0].plan.trace_id) in line
    assert "@" not in line
