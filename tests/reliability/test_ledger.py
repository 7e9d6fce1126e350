"""The ledgers themselves: what is lost, doubled or a ghost is seen as such."""

import pytest

from tests.reliability.ledger import ClientLedger, Sent, SinkLedger, balance, letter


@pytest.fixture
def sink():
    ledger = SinkLedger()
    yield ledger
    ledger.sink.stop()


@pytest.fixture
def client(sink):
    return ClientLedger(sink.sink.port, "test")


def noted(client: ClientLedger, identity: str, reply: str, *recipients: str) -> None:
    client.sent.append(Sent(identity, recipients or ("a",), reply, True, 0.0, 0.0))


def test_what_was_sent_to_the_sink_is_balanced(client, sink):
    for _ in range(3):
        client.send("a@there.example")

    found = balance(client, sink, lambda address: address)

    assert (found.accepted, found.expected, found.lost, found.dups) == (3, 3, (), {})


def test_one_recipient_of_two_missing_is_lost(client, sink):
    client.send("a@there.example")
    noted(client, "test-000001", "250 2.0.0 ok", "b@there.example")

    found = balance(client, sink, lambda address: address)

    assert found.lost == (("test-000001", "b@there.example"),)


def test_a_second_arrival_is_a_dup(client, sink):
    sent = client.send("a@there.example")
    again = ClientLedger(sink.sink.port, "test")  # counts from one again: the same id
    assert again.send("a@there.example").id == sent.id

    assert balance(client, sink, lambda address: address).dup_count == 1


def test_an_arrival_after_451_is_a_ghost_and_after_a_cut_is_not(client, sink):
    client.send("a@there.example")
    client.send("a@there.example")
    client.sent.clear()
    noted(client, "test-000001", "451 4.3.0 later")
    noted(client, "test-000002", "")

    found = balance(client, sink, lambda address: address)

    assert found.ghosts == ("test-000001",)
    assert found.cut_and_arrived == ("test-000002",)


def test_an_id_is_read_from_the_header_that_was_sent():
    assert b"X-Ledger-Id: test-7\r\n" in letter("test-7")
