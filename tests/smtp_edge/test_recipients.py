"""Who is a recipient here: no relaying in any form, reserved mailboxes, returns, routes."""

from datetime import UTC, datetime, timedelta

import pytest

from mail.facts import DomainStanding, LogLevel, RouteMode, TenantStanding
from mail.opaque import rewrite_reverse_path
from mail.plan import Direction
from mail.srs import encode_srs
from smtp_edge.limits import Limits
from tests.smtp_edge.listening import SRS_SECRET, hosted, listening, route

TODAY = datetime.now(UTC).date()

RELAY_FORMS = [
    "<relay@away.example>",
    '<"relay@away.example">',
    "<relay%away.example>",
    "<relay%away.example@example.org>",
    "<relay%away.example@[127.0.0.1]>",
    "<relay%away.example@mxax.test>",
    '<"relay@away.example"@example.org>',
    '<"relay@away.example"@[127.0.0.1]>',
    "<@example.org:relay@away.example>",
    "<@[127.0.0.1]:relay@away.example>",
    "<@mxax.test,@example.org:relay@away.example>",
    "<away.example!relay>",
    "<away.example!relay@example.org>",
    "<away.example!relay@[127.0.0.1]>",
    "<away.example!relay@mxax.test>",
    "<hi@[127.0.0.1]>",
    "<postmaster@[127.0.0.1]>",
    "<postmaster@away.example>",
    "<hi@sub.example.org>",
    "<relay@away.example@example.org>",
    "<relay>",
]


@pytest.mark.parametrize("path", RELAY_FORMS)
@pytest.mark.parametrize("catch_all", [False, True], ids=["routes", "catch-all"])
def test_nothing_is_ever_relayed(mx, path, catch_all):
    if catch_all:
        mx.world.host(hosted("example.org", route(1, "*", "friend@there.example")))
    client = mx.connect()
    for reverse_path in ("", "relay@away.example", "antispam@example.org", "root@[127.0.0.1]"):
        client.say("RSET")
        client.say(f"MAIL FROM:<{reverse_path}>")

        reply = client.say(f"RCPT TO:{path}")

        assert reply.startswith(("550 5.7.1", "550 5.1.1", "550 5.1.2")), reply


@pytest.mark.parametrize(
    ("address", "destination"),
    [
        ("postmaster@example.org", "ada@ada.example"),
        ("ABUSE@Example.ORG", "ada@ada.example"),
        ("postmaster@mxax.test", "operator@elsewhere.example"),
        ("abuse@fwd.mxax.test", "operator@elsewhere.example"),
        ("Postmaster", "operator@elsewhere.example"),
    ],
)
def test_reserved_mailboxes_reach_somebody(mx, letter, address, destination):
    client = mx.connect()

    assert client.deliver(letter, address).startswith("250")

    assert [one.destination for one in mx.world.kept[0].plan.deliveries] == [destination]


def test_mail_for_our_own_names_belongs_to_no_tenant(mx, letter):
    client = mx.connect()

    client.deliver(letter, "postmaster@mxax.test")

    plan = mx.world.kept[0].plan
    assert (plan.tenant_id, plan.direction) == (None, Direction.FORWARD)
    assert plan.outgoing_path.startswith("SRS0=")


def test_a_return_is_kept_for_the_reverse_path_behind_it(mx, letter):
    path = encode_srs(
        "bob@sender.example", secrets=(SRS_SECRET,), today=TODAY, domain="fwd.mxax.test"
    )
    client = mx.connect()

    assert client.deliver(letter, path, reverse_path="").startswith("250")

    plan = mx.world.kept[0].plan
    assert (plan.tenant_id, plan.direction, plan.outgoing_path) == (None, Direction.RETURN, "")
    assert [(one.recipient, one.destination) for one in plan.deliveries] == [
        (path, "bob@sender.example")
    ]


def test_an_opaque_return_finds_its_row(mx, letter):
    long_path = "b" * 80 + "@sender.example"
    rewritten = rewrite_reverse_path(
        long_path, secrets=(SRS_SECRET,), today=TODAY, domain="fwd.mxax.test"
    )
    mx.world.opaque[rewritten.opaque.row_id] = rewritten.opaque
    client = mx.connect()

    assert client.deliver(letter, rewritten.path, reverse_path="").startswith("250")

    assert mx.world.kept[0].plan.deliveries[0].destination == long_path


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"Subject: hello\r\n\r\n", "550 5.7.1"),
        (b"Auto-Submitted: no\r\n\r\n", "550 5.7.1"),
        (b"Auto-Submitted: auto-replied\r\n\r\n", "250 2.0.0"),
        (b"Content-Type: multipart/report; boundary=x\r\n\r\n", "250 2.0.0"),
    ],
)
def test_a_return_address_takes_no_letters(mx, head, expected):
    path = encode_srs(
        "bob@sender.example", secrets=(SRS_SECRET,), today=TODAY, domain="fwd.mxax.test"
    )
    client = mx.connect()

    reply = client.deliver(head, path, reverse_path="someone@else.example")

    assert reply.startswith(expected)


def test_expired_and_forged_return_addresses_are_refused(mx):
    old = encode_srs(
        "bob@sender.example",
        secrets=(SRS_SECRET,),
        today=TODAY - timedelta(days=40),
        domain="fwd.mxax.test",
    )
    client = mx.connect()
    client.mail("")

    assert client.say(f"RCPT TO:<{old}>").startswith("550 5.1.1")
    assert client.say("RCPT TO:<SRS0=AAAAAAAAAA=AA=x.example=y@fwd.mxax.test>").startswith(
        "550 5.1.1"
    )


def test_who_guesses_return_addresses_is_sent_away(world):
    patient = Limits(error_delay_seconds=0, errors=100, refused_delay_seconds=0)
    with listening(world, limits=patient) as mx:
        client = mx.connect()
        client.mail("")
        guesses = [
            f"RCPT TO:<SRS0=AAAAAAAA{n // 10 + 2}{n % 10 // 2 + 2}=AA=x.example=y@fwd.mxax.test>"
            for n in range(21)
        ]

        replies = [client.say(guess) for guess in guesses]

        assert all(reply.startswith("550 5.1.1") for reply in replies[:20])
        assert replies[20].startswith("421 4.7.0")
        assert client.is_closed()
        from tests.smtp_edge.listening import Client

        assert Client(mx.port).reply().startswith("421 4.7.0")


def test_expired_return_addresses_are_no_guesses(world):
    old = encode_srs(
        "bob@sender.example",
        secrets=(SRS_SECRET,),
        today=TODAY - timedelta(days=40),
        domain="fwd.mxax.test",
    )
    with listening(world, limits=Limits(error_delay_seconds=0, errors=100)) as mx:
        client = mx.connect()
        client.mail("")

        replies = [client.say(f"RCPT TO:<{old}>") for _ in range(30)]

        assert all(reply.startswith("550 5.1.1") for reply in replies)


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (hosted("x.example", route(1, "hi", "a@b.example", mode=RouteMode.REFUSE)), "550 5.1.1"),
        (hosted("x.example", route(1, "hi", "a@b.example", mode=RouteMode.DEFER)), "450 4.2.1"),
        (hosted("x.example", route(1, "hi")), "450 4.2.1"),
        (hosted("x.example", standing=DomainStanding.PENDING), "450 4.7.1"),
        (hosted("x.example", tenant_standing=TenantStanding.ABUSIVE), "550 5.7.1"),
    ],
    ids=["refuse", "defer", "unconfirmed", "pending", "abusive"],
)
def test_the_state_of_things_decides_at_rcpt(mx, snapshot, expected):
    mx.world.host(snapshot)
    client = mx.connect()

    assert client.mail("bob@sender.example", "hi@x.example").startswith(expected)


def test_a_paused_route_that_drops_answers_250_and_keeps_nothing(mx, letter):
    mx.world.host(hosted("x.example", route(1, "hi", "a@b.example", mode=RouteMode.DROP)))
    client = mx.connect()

    assert client.deliver(letter, "hi@x.example").startswith("250")

    assert mx.world.kept == []
    assert [one.event.kind.value for one in mx.world.refusals] == ["dropped"]


def test_a_tenant_over_his_cap_is_asked_to_wait(mx, letter):
    mx.world.host(hosted("x.example", route(1, "hi", "a@b.example"), tenant_id=5, forward_cap=2))
    client = mx.connect()
    for _ in range(2):
        assert client.deliver(letter, "hi@x.example").startswith("250")

    assert client.mail("bob@sender.example", "hi@x.example").startswith("450 4.7.1")


def test_a_refusal_is_recorded_with_its_rule_and_trail(mx):
    client = mx.connect()
    client.mail("bob@sender.example", "nobody@example.org", "who@away.example")

    ours, foreign = mx.world.refusals
    assert (ours.domain, ours.log_level, ours.event.tenant_id) == (
        "example.org",
        LogLevel.METADATA,
        1,
    )
    assert ours.event.recipient == "nobody@example.org"
    assert ours.event.rule == "unknown_address"
    assert ours.event.reply.startswith("550 5.1.1")
    assert ours.event.trail[-1] == "unknown_address"
    assert (foreign.domain, foreign.event.tenant_id) == ("", None)


def test_the_log_tells_the_rule_and_no_address(mx, capfd):
    client = mx.connect()
    client.say("EHLO evil\x20\\x1b[31m")
    client.mail("bob@sender.example", "nobody@example.org")

    lines = [one for one in capfd.readouterr().err.splitlines() if "mail.rcpt_judged" in one]
    assert len(lines) == 1
    assert "unknown_address" in lines[0]
    assert "@" not in lines[0]
    assert "evil" not in lines[0]


def test_addresses_beyond_ascii_find_their_route(mx, letter):
    mx.world.host(hosted("xn--exmple-cua.org", route(3, "jürgen", "friend@there.example")))
    client = mx.connect()
    client.say("MAIL FROM:<bob@sender.example> SMTPUTF8")

    # The same name in another normal form, and the domain as U-label.
    assert client.say("RCPT TO:<ju\u0308rgen@exämple.org>").startswith("250")
    assert client.data("Subject: grüße\r\n\r\n".encode()).startswith("250")

    plan = mx.world.kept[0].plan
    assert plan.smtputf8
    assert plan.protocol == "UTF8SMTP"
    assert plan.deliveries[0].recipient == "jürgen@xn--exmple-cua.org"


def test_a_database_that_is_away_loses_no_mail(mx, letter):
    client = mx.connect()
    client.mail("bob@sender.example", "hi@example.org")
    mx.world.is_away = True

    assert client.say("RCPT TO:<hi@other.example>").startswith("451 4.3.0")
    assert client.data(letter).startswith("451 4.3.0")

    mx.world.is_away = False
    assert client.deliver(letter, "hi@example.org").startswith("250")
    assert len(mx.world.kept) == 1
