"""The SMTP client over real sockets: TLS, replies that come unasked, kept connections."""

import asyncio
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from delivery.next_hop import Host, NextHop
from delivery.transport import pool, targets
from delivery.transport.connection import HopTrouble, Timeouts
from delivery.transport.octets import wire_pieces
from delivery.transport.pool import Pool, PoolLimits
from delivery.transport.pools import Pools
from delivery.transport.replies import BadReply, ReplyReader
from delivery.transport.tls import opportunistic_tls
from delivery.transport.values import Stage, Transaction
from mail.retry import OutcomeClass
from mxax.setting_values import HostPort

MAIL = Transaction("a@b.example", "c@d.example", (b"Subject: x\r\n\r\n", b"hello\r\n"))
QUICK = Timeouts(connect=2, greeting=1, command=1, data=1, block=1, end=1)


def transmit(port, *mails, tls=False, limits=None, together=True, after=None, timeouts=QUICK):
    """The outcomes of these transactions over one pool; `after` runs before the pool is closed."""

    async def run():
        pool = Pool(
            NextHop.at(HostPort("127.0.0.1", port)),
            helo="mxax.test",
            limits=limits or PoolLimits(),
            timeouts=timeouts,
            context=opportunistic_tls() if tls else None,
        )
        if together:
            outcomes = await asyncio.gather(*(pool.transmit(mail) for mail in mails))
        else:
            outcomes = [await pool.transmit(mail) for mail in mails]
        if after:
            await after(pool)
        pool.close()
        await asyncio.sleep(0.05)
        return outcomes

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sink.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "sink.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def test_it_encrypts_where_starttls_is_offered(sink, certificate):
    sink.context = certificate

    outcomes = transmit(sink.port, MAIL, MAIL, tls=True, together=False)

    assert [o.result for o in outcomes] == [OutcomeClass.SUCCESS] * 2
    assert outcomes[0].tls.startswith("TLSv1.3 ")
    assert all(arrival.tls for arrival in sink.arrivals)
    assert [c for _, c in sink.commands].count("EHLO mxax.test") == 2


def test_words_put_in_after_starttls_end_the_connection(sink, certificate):
    sink.context = certificate
    sink.speak_after_starttls = b"250 sink.example\r\n250 ok\r\n"

    (outcome,) = transmit(sink.port, MAIL, tls=True)

    assert outcome.result is OutcomeClass.TRANSIENT
    assert sink.connections == 2
    assert not any(command.startswith("MAIL") for _, command in sink.commands)


def test_half_a_line_put_in_after_starttls_ends_the_connection_too(sink, certificate):
    sink.context = certificate
    sink.speak_after_starttls = b"250-sink"

    (outcome,) = transmit(sink.port, MAIL, tls=True)

    assert outcome.result is OutcomeClass.TRANSIENT
    assert sink.connections == 2


def test_a_next_hop_whose_tls_does_not_work_gets_mail_in_clear(sink):
    sink.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # without a certificate

    (outcome,) = transmit(sink.port, MAIL, tls=True)

    assert outcome.result is OutcomeClass.SUCCESS
    assert outcome.tls == ""


def test_starttls_that_is_refused_goes_on_in_clear(sink, certificate):
    sink.context = certificate
    sink.script["STAR"] = ["454 4.7.0 not now"]

    (outcome,) = transmit(sink.port, MAIL, tls=True)

    assert outcome.result is OutcomeClass.SUCCESS


def test_mail_rcpt_and_data_go_in_one_write_where_pipelining_is_offered(sink):
    sink.replies_after = "DATA"

    (outcome,) = transmit(sink.port, MAIL)

    assert outcome.result is OutcomeClass.SUCCESS
    assert [c[:4] for _, c in sink.commands[:4]] == ["EHLO", "MAIL", "RCPT", "DATA"]


def test_a_host_that_loses_pipelined_commands_gets_them_one_by_one_next_time():
    with a_host_that_reads_one_command_a_packet() as (port, heard):
        outcomes = transmit(port, MAIL, MAIL, together=False)

    assert [(one.result, one.stage) for one in outcomes] == [
        (OutcomeClass.TRANSIENT, Stage.RCPT),
        (OutcomeClass.SUCCESS, Stage.CONTENT),
    ]
    assert heard.count(b"MAIL") == 2


def test_what_a_quiet_host_taught_us_is_not_forgotten_before_the_next_attempt():
    """The next one is minutes away, and nothing is open until then."""

    async def run(port):
        hops = Pools(helo="mxax.test", limits=PoolLimits(), timeouts=QUICK, tls=False)
        hop = NextHop.at(HostPort("127.0.0.1", port))
        first = await hops.of(hop).transmit(MAIL)
        hops.sweep()
        second = await hops.of(hop).transmit(MAIL)
        hops.close()
        return first.result, second.result

    with a_host_that_reads_one_command_a_packet() as (port, _):
        results = asyncio.run(run(port))

    assert results == (OutcomeClass.TRANSIENT, OutcomeClass.SUCCESS)


@contextmanager
def a_host_that_reads_one_command_a_packet():
    """It offers PIPELINING and throws away whatever came behind the first line."""
    heard = []

    def serve(listener):
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.sendall(b"220 old.example\r\n")
                    while octets := connection.recv(65536):
                        heard.append(octets[:4])
                        connection.sendall(answers.get(octets[:4], b"250 ok\r\n"))

    answers = {b"EHLO": b"250-old.example\r\n250 PIPELINING\r\n", b"DATA": b"354 go\r\n"}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)


def test_a_host_without_ehlo_gets_helo(sink):
    sink.script["EHLO"] = ["502 5.5.1 what"]

    (outcome,) = transmit(sink.port, MAIL)

    assert outcome.result is OutcomeClass.SUCCESS
    assert sink.arrivals[0].mail == "MAIL FROM:<a@b.example>"


def test_a_connection_carries_a_hundred_messages_at_most(sink):
    transmit(sink.port, *[MAIL] * 25, limits=PoolLimits(connections=1, messages=10))

    assert len(sink.arrivals) == 25
    assert sink.connections == 3
    assert sink.most_open <= 2  # QUIT is not waited for


def test_a_host_sees_a_connection_end_before_the_one_that_takes_its_place(sink):
    heard = []

    class Timed(list):
        def append(self, one):
            heard.append((one[1][:4], time.monotonic()))
            super().append(one)

    sink.commands = Timed()

    transmit(sink.port, *[MAIL] * 3, limits=PoolLimits(connections=1, messages=2))

    farewell, welcome = (
        next(at for verb, at in heard if verb == "QUIT"),
        [at for verb, at in heard if verb == "EHLO"][1],
    )
    assert welcome - farewell > 0.05, "250 ms; the sink may have heard the farewell late"


def test_never_more_connections_than_allowed(sink):
    sink.answer_delay = 0.15

    transmit(sink.port, *[MAIL] * 40, limits=PoolLimits(connections=6))

    assert len(sink.arrivals) == 40
    assert sink.most_open == 6


def test_idle_connections_are_closed(sink):
    async def wait(_pool):
        await asyncio.sleep(0.4)

    transmit(sink.port, MAIL, limits=PoolLimits(idle_seconds=0.1), after=wait)

    assert sink.commands[-1][1] == "QUIT"


def test_a_kept_connection_that_the_peer_closed_is_replaced(sink):
    sink.close_when_idle = True

    outcomes = transmit(sink.port, MAIL, MAIL, MAIL, together=False)

    assert [o.result for o in outcomes] == [OutcomeClass.SUCCESS] * 3
    assert sink.connections == 3


def test_421_closes_the_next_hop_for_a_while(sink):
    sink.script["RCPT"] = ["421 4.7.0 too much"]

    first, second = transmit(sink.port, MAIL, MAIL, together=False)

    assert first.reply == "421 4.7.0 too much"
    assert second.reply == "the next hop rests after: 421 4.7.0 too much"
    assert sink.connections == 1


def test_a_greeting_that_refuses_is_the_next_hops_trouble(sink):
    sink.greeting = "554 5.7.1 go away"

    first, second = transmit(sink.port, MAIL, MAIL, together=False)

    assert (first.result, first.stage, first.reply) == (
        OutcomeClass.TRANSIENT,
        Stage.CONNECT,
        "554 5.7.1 go away",
    )
    assert second.reply.startswith("the next hop rests")


@pytest.mark.parametrize("extensions", [("PIPELINING",), ()], ids=["pipelined", "one by one"])
def test_a_refusal_that_does_not_wait_for_the_content_is_one(sink, extensions):
    sink.extensions = extensions
    sink.script["DATA"] = ["354 go\n552 5.3.4 too large"]

    (outcome,) = transmit(sink.port, MAIL)

    assert (outcome.result, outcome.stage) == (OutcomeClass.PERMANENT, Stage.CONTENT)
    assert outcome.reply == "552 5.3.4 too large"
    assert sink.arrivals == []


def test_thanks_for_content_that_was_not_sent_yet_are_no_delivery(sink):
    sink.script["DATA"] = ["354 go\n250 2.0.0 taken"]

    (outcome,) = transmit(sink.port, MAIL)

    assert (outcome.result, outcome.stage) == (OutcomeClass.TRANSIENT, Stage.DATA)
    assert outcome.reply == "spoke unasked: 250 2.0.0 taken"
    assert not outcome.is_uncertain


def test_a_next_hop_of_many_dead_addresses_rests_and_nobody_waits_on(monkeypatch):
    """To try them all may take longer than one of them is remembered as failing."""

    async def dead(target, **more):
        await asyncio.sleep(0.05)
        raise HopTrouble("the next hop did not answer")

    monkeypatch.setattr(pool, "open_connection", dead)
    monkeypatch.setattr(targets, "FAILED_SECONDS", 0.15)
    addresses = tuple(HostPort("192.0.2.1", port) for port in range(1, 7))
    hop = NextHop("dead.example", (Host("dead.example", addresses),))

    async def run():
        dead_pool = Pool(hop, helo="mxax.test", limits=PoolLimits(), timeouts=QUICK, context=None)
        async with asyncio.timeout(20):
            return await asyncio.gather(*(dead_pool.transmit(MAIL) for _ in range(10)))

    outcomes = asyncio.run(run())

    assert {one.result for one in outcomes} == {OutcomeClass.TRANSIENT}
    assert sum("rests after" in one.reply for one in outcomes) >= 6


def test_silence_is_not_waited_for_for_ever(sink):
    sink.silent_after_dot = True

    (outcome,) = transmit(sink.port, MAIL)

    assert (outcome.result, outcome.stage) == (OutcomeClass.TRANSIENT, Stage.CONTENT)
    assert outcome.is_uncertain


def test_a_peer_that_takes_no_octets_is_left(sink):
    sink.hang_in_content, sink.extensions = True, ("PIPELINING",)
    large = Transaction("a@b.example", "c@d.example", (b"x" * 900 + b"\r\n",) * 40_000)

    (outcome,) = transmit(sink.port, large)

    assert (outcome.result, outcome.stage) == (OutcomeClass.TRANSIENT, Stage.DATA)


def test_a_peer_that_reads_as_slowly_as_it_may_is_left_in_the_end():
    """It takes something within the time for a block, again and again."""
    large = Transaction("a@b.example", "c@d.example", (b"x" * 900 + b"\r\n",) * 40_000)
    timeouts = replace(QUICK, block=2, slowest_octets=large.size_octets)

    with a_host_that_reads_slowly() as port:
        (outcome,) = transmit(port, large, timeouts=timeouts)

    assert (outcome.result, outcome.stage) == (OutcomeClass.TRANSIENT, Stage.DATA)
    assert outcome.reply == "the next hop took octets too slowly"


@contextmanager
def a_host_that_reads_slowly():
    """A tenth of a megabyte ten times a second."""

    def serve(listener):
        with suppress(OSError), listener.accept()[0] as connection:
            connection.sendall(b"220 slow.example\r\n")
            while not (octets := connection.recv(4096)).startswith(b"DATA"):
                connection.sendall(b"250 ok\r\n" if octets else b"")
            connection.sendall(b"354 go\r\n")
            while connection.recv(100_000):
                time.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def test_an_address_that_would_break_the_line_is_not_written(sink):
    evil = Transaction("a@b.example", "c@d.example>\r\nDATA\r\n", (b"x\r\n",))

    (outcome,) = transmit(sink.port, evil)

    assert outcome.result is OutcomeClass.PERMANENT
    assert not any("DATA" in command for _, command in sink.commands)


@pytest.mark.parametrize("cut", range(1, 12))
def test_dots_are_stuffed_wherever_the_pieces_are_cut(cut):
    octets = b".a\r\n.\r\n..b\r\n"
    pieces = (octets[:cut], octets[cut : cut + 1], octets[cut + 1 :])

    assert b"".join(wire_pieces(pieces)) == b"..a\r\n..\r\n...b\r\n.\r\n"


def test_a_message_without_a_last_line_end_gets_one():
    assert b"".join(wire_pieces((b"a",))) == b"a\r\n.\r\n"
    assert b"".join(wire_pieces(())) == b".\r\n"


def test_replies_are_read_wherever_they_are_cut():
    octets = b"250-a\r\n250 b\r\n354 go\r\n"
    for cut in range(len(octets)):
        reader = ReplyReader()

        replies = reader.feed(octets[:cut]) + reader.feed(octets[cut:])

        assert [(r.code, r.text) for r in replies] == [(250, "250-a\n250 b"), (354, "354 go")]


@pytest.mark.parametrize("octets", [b"hello\r\n", b"1x0 a\r\n", b"x" * 5000, b"250-a\r\n" * 5000])
def test_what_is_no_reply_is_refused(octets):
    with pytest.raises(BadReply):
        ReplyReader().feed(octets)
