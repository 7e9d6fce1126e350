"""Mail that comes to us twice, in pieces, or beside forged mail in one session."""

import socket
import time

import dkim
import pytest

from mail.authentication.results_field import read_results
from mail.message import header_fields, split_header_block, values
from tests.delivery.dns_zone import Zone, serve
from tests.delivery.sink import Sink
from tests.installation import installed
from tests.journeys.test_trust import NAMES, PEM, arrived, letter, offer, our_keys, our_results

pytestmark = [pytest.mark.journey, pytest.mark.slow]

MORE = {"_dmarc.xn--bcher-kva.example": [("TXT", ["v=DMARC1; p=reject"])]}
FILLING = (b"y" * 70 + b"\r\n") * 10_000


@pytest.fixture(scope="module")
def next_hop():
    one = Sink().start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory, next_hop):
    with serve(Zone({**NAMES, **MORE})) as zone:
        extra = {
            "MXAX_DNS_SERVERS": f"{zone.address[0]}:{zone.address[1]}",
            "MXAX_SMARTHOST": f"127.0.0.1:{next_hop.port}",
        }
        with installed(tmp_path_factory.mktemp("service"), **extra) as running:
            for one in our_records(running):
                zone.names[one[0]] = one[1]
            running.tenant("ada", "ada.example", ("hi@ada.example", "friend@far.example"))
            running.tenant("bea", "bea.example", ("in@bea.example", "bea@far.example"))
            yield running


def our_records(service):
    """What the operator publishes for us."""
    for one in service.manage_json("service", "records"):
        if one["type"] == "TXT":
            value = one["value"]
            yield one["name"], [("TXT", [value[at : at + 250] for at in range(0, len(value), 250)])]


def test_mail_that_comes_back_has_our_newest_word_alone_and_one_more_seal(service, next_hop):
    assert (
        offer(service, letter("honest.example", "circle", signed=True), "c@honest.example") == "250"
    )
    once = arrived(service, next_hop, "Subject: circle")
    next_hop.arrivals.clear()

    assert offer(service, once, "someone@far.example", to="in@bea.example") == "250"
    twice = arrived(service, next_hop, "Subject: circle")
    fields = header_fields(twice[: split_header_block(twice)])
    ours = our_results(twice)  # exactly one
    assert ours.of("arc")[0].result == "pass"
    assert ours.of("spf")[0].result == "none"
    assert ours.dmarc_passed("honest.example")
    status, sets, _ = dkim.ARC(twice).verify(dnsfunc=our_keys(service))
    assert (status, len(sets)) == (b"pass", 2)
    said = [read_results(one) for one in values(fields, b"arc-authentication-results")]
    assert [one.authserv_id for one in said] == ["mxax.test", "mxax.test"]


def test_a_large_forged_message_is_refused_at_its_end(service, next_hop):
    octets = letter("strict.example", "large") + FILLING

    assert offer(service, octets, "mallory@honest.example").startswith("550 5.7.26 ")
    assert all(b"Subject: large" not in one.octets for one in next_hop.arrivals)


def test_a_large_honest_message_is_verified_and_sealed(service, next_hop):
    octets = letter("honest.example", "heavy") + FILLING
    octets = dkim.sign(octets, b"s1", b"honest.example", PEM) + octets
    assert offer(service, octets, "c@honest.example") == "250"
    got = arrived(service, next_hop, "Subject: heavy")
    assert our_results(got).of("dkim")[0].result == "pass"
    status, _, _ = dkim.ARC(got).verify(dnsfunc=our_keys(service))
    assert status == b"pass"


def test_an_author_in_other_letters_is_judged_by_his_domain(service):
    octets = "From: Mallory <m@bücher.example>\r\nSubject: idn\r\n\r\nhi\r\n".encode()
    with service.smtp() as client:
        client.ehlo()
        client.docmd("MAIL", "FROM:<m@honest.example> SMTPUTF8")
        client.docmd("RCPT", "TO:<hi@ada.example>")
        code, text = client.data(octets)
    assert (code, text[:6]) == (550, b"5.7.26")


def test_transactions_of_one_session_are_judged_each_for_itself(service, next_hop):
    forged, honest = (
        letter("strict.example", "p-forged"),
        letter("honest.example", "p-honest", signed=True),
    )
    begin = b"MAIL FROM:<c@%b>\r\nRCPT TO:<hi@ada.example>\r\n"
    script = [
        begin % b"honest.example" + b"RSET\r\n" + begin % b"strict.example" + b"DATA\r\n",
        forged + b".\r\n" + begin % b"honest.example" + b"DATA\r\n",
        honest
        + b".\r\n"
        + begin % b"honest.example"
        + b"RSET\r\n"
        + begin % b"honest.example"
        + b"DATA\r\n",
        forged + b".\r\nQUIT\r\n",
    ]
    with socket.create_connection(("127.0.0.1", service.ports["MX"]), 20) as wire:
        reader = wire.makefile("rb")
        reader.readline()
        wire.sendall(b"EHLO x.example\r\n")
        while reader.readline()[3:4] == b"-":
            pass
        finals = []
        for step in script:
            wire.sendall(step)
            while True:
                line = reader.readline()
                if not line or line.startswith((b"354", b"221")):
                    break
                finals.append(line)
    judged = [one for one in finals if b"5.7.26" in one or b"queued" in one]
    assert [one[:3] for one in judged] == [b"550", b"250", b"550"]


def test_a_return_address_carries_no_forged_author_out(service, next_hop):
    honest = letter("honest.example", "went out", signed=True)
    assert offer(service, honest, "c@honest.example") == "250"
    arrived(service, next_hop, "Subject: went out")
    (mail,) = [one.mail for one in next_hop.arrivals if b"Subject: went out" in one.octets]
    return_path = mail.partition("<")[2].partition(">")[0]
    assert return_path.endswith("@fwd.mxax.test")

    offer(service, letter("strict.example", "via return"), "", to=return_path)
    time.sleep(2)
    assert not [one for one in next_hop.arrivals if b"Subject: via return" in one.octets]
