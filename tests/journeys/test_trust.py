"""Signed, forged and sealed mail through a whole service: what a receiver sees in the end."""

import smtplib
import time

import dkim
import pytest

from mail.authentication.results_field import read_results
from mail.authentication.seal import seal
from mail.authentication.values import ArcResult
from mail.message import header_fields, split_header_block, values
from mail.signing import (
    Algorithm,
    dkim_record_strings,
    generate_key_pair,
    load_signing_key,
    relaxed_body_hash,
)
from tests.delivery.dns_zone import Zone, serve
from tests.delivery.sink import Sink
from tests.installation import Installation, installed

pytestmark = [pytest.mark.journey, pytest.mark.slow]

PEM, PUBLIC = generate_key_pair(Algorithm.RSA_SHA256)
NAMES = {
    "honest.example": [("TXT", ["v=spf1 ip4:127.0.0.1 -all"])],
    "_dmarc.honest.example": [("TXT", ["v=DMARC1; p=reject"])],
    "s1._domainkey.honest.example": [("TXT", list(dkim_record_strings(PUBLIC)))],
    "strict.example": [("TXT", ["v=spf1 -all"])],
    "_dmarc.strict.example": [("TXT", ["v=DMARC1; p=reject"])],
    "doubtful.example": [("TXT", ["v=spf1 -all"])],
    "_dmarc.doubtful.example": [("TXT", ["v=DMARC1; p=quarantine"])],
    "_dmarc.broken.example": ["FAIL"],
}
LETTER = (
    b"From: Carol <carol@%b>\r\nTo: hi@ada.example\r\nSubject: %b\r\n"
    b"Date: Sun, 22 Nov 2026 08:00:00 +0000\r\nMessage-ID: <%b@honest.example>\r\n\r\nHello.\r\n"
)


@pytest.fixture(scope="module")
def next_hop():
    one = Sink().start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory, next_hop):
    with serve(Zone(NAMES)) as zone:
        extra = {
            "MXAX_DNS_SERVERS": f"{zone.address[0]}:{zone.address[1]}",
            "MXAX_SMARTHOST": f"127.0.0.1:{next_hop.port}",
        }
        with installed(tmp_path_factory.mktemp("service"), **extra) as running:
            running.tenant(
                "ada",
                "ada.example",
                ("hi@ada.example", "friend@far.example"),
                ("on@ada.example", "in@bea.example"),
            )
            running.tenant("bea", "bea.example", ("in@bea.example", "bea@far.example"))
            yield running


def letter(domain: str, subject: str, *, signed: bool = False) -> bytes:
    octets = LETTER % (domain.encode(), subject.encode(), subject.encode())
    if not signed:
        return octets
    return dkim.sign(octets, b"s1", domain.encode(), PEM) + octets


def offer(service: Installation, octets: bytes, reverse_path: str, to: str = "hi@ada.example"):
    with service.smtp() as client:
        try:
            client.sendmail(reverse_path, [to], octets)
        except smtplib.SMTPDataError as error:
            return f"{error.smtp_code} {error.smtp_error.decode()}"
    return "250"


def arrived(service: Installation, next_hop: Sink, subject: str) -> bytes:
    def found():
        return [one.octets for one in list(next_hop.arrivals) if subject.encode() in one.octets]

    (octets,) = service.wait_for(found, 20, subject)
    return octets


def our_keys(service: Installation):
    """The DNS as a receiver asks it: our own records, and those of the zone."""
    records = {
        f"{one['name']}.".encode(): one["value"].encode()
        for one in service.manage_json("service", "records")
        if one["type"] == "TXT"
    }
    records[b"s1._domainkey.honest.example."] = b"v=DKIM1; " + PUBLIC.encode()
    return lambda name, timeout=5: records.get(name)


def our_results(octets: bytes):
    fields = header_fields(octets[: split_header_block(octets)])
    (ours,) = [
        one
        for one in map(read_results, values(fields, b"authentication-results"))
        if one.authserv_id == "mxax.test"
    ]
    return ours


def test_honest_mail_goes_on_with_its_signature_our_word_and_our_seal(service, next_hop):
    reply = offer(service, letter("honest.example", "honest", signed=True), "carol@honest.example")
    octets = arrived(service, next_hop, "Subject: honest")

    ours = our_results(octets)
    assert reply == "250"
    assert ours.dmarc_passed("honest.example")
    assert [one.result for one in ours.of("dkim")] == ["pass"]
    assert ours.of("spf")[0].result == "pass"
    assert ours.of("arc")[0].result == "none"
    answer = our_keys(service)
    judged = dkim.DKIM(octets)
    assert [judged.verify(index, dnsfunc=answer) for index in range(3)] == [True, True, True]
    status, sets, _ = dkim.ARC(octets).verify(dnsfunc=answer)
    assert status == b"pass", sets


def test_what_the_author_forbids_is_refused_in_the_dialog(service, next_hop):
    reply = offer(service, letter("strict.example", "forged"), "mallory@honest.example")

    assert reply.startswith("550 5.7.26 ")
    told = service.manage("trace", "--recipient", "hi@ada.example")
    assert "dmarc_reject" in told
    assert all(b"Subject: forged" not in one.octets for one in next_hop.arrivals)


def test_what_he_doubts_goes_on_untouched_and_we_say_so(service, next_hop):
    sent = letter("doubtful.example", "doubtful")

    assert offer(service, sent, "mallory@honest.example") == "250"
    octets = arrived(service, next_hop, "Subject: doubtful")
    assert octets.endswith(sent)
    assert our_results(octets).of("dmarc")[0].result == "fail"
    assert our_results(octets).of("dmarc")[0].value("policy.dmarc") == "quarantine"


def test_where_dns_does_not_tell_the_policy_the_mail_is_put_off(service):
    reply = offer(service, letter("broken.example", "later"), "mallory@honest.example")

    assert reply.startswith("451 4.")


def test_our_own_name_on_anothers_results_is_taken_off(service, next_hop):
    claim = b"Authentication-Results: mxax.test; dmarc=pass header.from=doubtful.example\r\n"

    offer(service, claim + letter("doubtful.example", "claims"), "mallory@honest.example")
    octets = arrived(service, next_hop, "Subject: claims")
    assert claim not in octets
    assert our_results(octets).of("dmarc")[0].result == "fail"


def test_mail_between_hosted_domains_is_judged_by_where_it_came_from(service, next_hop):
    octets = letter("honest.example", "inside", signed=True)

    assert offer(service, octets, "carol@honest.example", to="on@ada.example") == "250"
    octets = arrived(service, next_hop, "Subject: inside")
    assert our_results(octets).dmarc_passed("honest.example")
    assert our_results(octets).of("spf")[0].result == "pass"
    status, _, _ = dkim.ARC(octets).verify(dnsfunc=our_keys(service))
    assert status == b"pass"


def test_a_chain_that_came_with_the_mail_goes_on_with_one_more_link(service, next_hop):
    once = letter("honest.example", "chained", signed=True)
    key = load_signing_key(
        PEM, algorithm=Algorithm.RSA_SHA256, domain="honest.example", selector="s1"
    )
    header, _, body = once.partition(b"\r\n\r\n")
    first = seal(
        header + b"\r\n",
        relaxed_body_hash(body),
        key,
        results="honest.example; arc=none",
        chain=ArcResult.NONE,
        now=int(time.time()),
    )

    assert offer(service, first + once, "carol@honest.example") == "250"
    octets = arrived(service, next_hop, "Subject: chained")
    assert our_results(octets).of("arc")[0].result == "pass"
    status, sets, _ = dkim.ARC(octets).verify(dnsfunc=our_keys(service))
    assert (status, len(sets)) == (b"pass", 2)
