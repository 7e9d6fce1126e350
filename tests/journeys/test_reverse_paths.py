"""SPF that fails or breaks, on a whole service: what it decides, and what it does not (E2, C9)."""

import time
from email import message_from_bytes, policy

import dkim
import pytest

from mail.signing import Algorithm, dkim_record_strings, generate_key_pair
from tests.delivery.dns_zone import Zone, serve
from tests.delivery.sink import Sink
from tests.installation import installed
from tests.journeys.test_trust import arrived, offer, our_results

pytestmark = [pytest.mark.journey, pytest.mark.slow]

PEM, PUBLIC = generate_key_pair(Algorithm.RSA_SHA256)
NUMBERS = range(11)
# Each is one more than RFC 7208, 4.6.4 allows, and would end in a pass.
BROKEN: dict[str, list] = {
    "terms": ["v=spf1 " + " ".join(f"include:t{n}.example" for n in NUMBERS) + " +all"],
    "voids": ["v=spf1 a:v0.example a:v1.example a:v2.example +all"],
    "exchanges": ["v=spf1 mx +all"],
    "loop": ["v=spf1 include:loop.example +all"],
    "records": ["v=spf1 +all", "v=spf1 ip4:127.0.0.1 -all"],
    "syntax": ["v=spf1 ip4:127.0.0.256 +all"],
}
OTHERS = {
    # Of eleven names of a client ten are looked at: the eleventh would have passed.
    "names": (["v=spf1 ptr:client.test -all"], "fail"),
    "long": (["v=spf1 " + "ip4:198.51.100.7 " * 60 + "ip4:127.0.0.1 -all"], "pass"),
}
SPF = BROKEN | {name: records for name, (records, _) in OTHERS.items()}


def names() -> dict[str, list]:
    zone: dict[str, list] = {f"t{n}.example": [("TXT", ["v=spf1 ?all"])] for n in NUMBERS}
    zone |= {f"mx{n}.exchanges.example": [("A", "192.0.2.1")] for n in NUMBERS}
    zone["1.0.0.127.in-addr.arpa"] = [("PTR", f"p{n}.client.test") for n in NUMBERS]
    zone |= {f"p{n}.client.test": [("A", "192.0.2.1")] for n in NUMBERS}
    zone["p10.client.test"] = [("A", "127.0.0.1")]
    for name, records in SPF.items():
        zone[f"{name}.example"] = [
            ("TXT", [one[at : at + 250] for at in range(0, len(one), 250)]) for one in records
        ]
        zone[f"_dmarc.{name}.example"] = [("TXT", ["v=DMARC1; p=reject"])]
        zone[f"s1._domainkey.{name}.example"] = [("TXT", list(dkim_record_strings(PUBLIC)))]
    zone["exchanges.example"] += [("MX", (10, f"mx{n}.exchanges.example")) for n in NUMBERS]
    zone["moved.example"] = [("TXT", ["v=spf1 ip4:192.0.2.1 -all"])]
    zone["s1._domainkey.moved.example"] = [("TXT", list(dkim_record_strings(PUBLIC)))]
    zone["lists.example"] = [("TXT", ["v=spf1 ip4:192.0.2.1 -all"])]
    return zone


@pytest.fixture(scope="module")
def next_hop():
    one = Sink().start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory, next_hop):
    with serve(Zone(names())) as zone:
        extra = {
            "MXAX_DNS_SERVERS": f"{zone.address[0]}:{zone.address[1]}",
            "MXAX_SMARTHOST": f"127.0.0.1:{next_hop.port}",
        }
        with installed(tmp_path_factory.mktemp("service"), **extra) as running:
            running.tenant("ada", "ada.example", ("hi@ada.example", "friend@far.example"),
                           ("never@ada.example", "never@far.example"),
                           ("spam@ada.example", "spam@far.example"))  # fmt: skip
            next_hop.script["RCPT never@far.example"] = ["550 5.1.1 unknown"] * 50
            next_hop.script["RCPT spam@far.example"] = ["550 5.7.1 looks like spam"] * 50
            yield running


def letter(author: str, subject: str, signer: str = "") -> bytes:
    octets = (
        f"From: Carol <carol@{author}>\r\nTo: hi@ada.example\r\nSubject: {subject}\r\n"
        f"Date: Sun, 22 Nov 2026 08:00:00 +0000\r\nMessage-ID: <{subject}@{author}>\r\n\r\nHi.\r\n"
    ).encode()
    return dkim.sign(octets, b"s1", signer.encode(), PEM) + octets if signer else octets


@pytest.mark.parametrize("name", SPF)
def test_a_limit_of_spf_is_a_result_and_dkim_still_carries_the_mail(service, next_hop, name):
    began = time.monotonic()
    domain = f"{name}.example"

    reply = offer(service, letter(domain, f"signed-{name}", domain), f"carol@{domain}")

    assert reply == "250"
    assert time.monotonic() - began < 30
    ours = our_results(arrived(service, next_hop, f"Subject: signed-{name}"))
    expected = "permerror" if name in BROKEN else OTHERS[name][1]
    assert [one.result for one in ours.of("spf")][:1] == [expected]
    assert ours.dmarc_passed(domain)


@pytest.mark.parametrize("name", BROKEN)
def test_where_nothing_else_vouches_dmarc_decides_and_spf_alone_does_not(service, next_hop, name):
    domain = f"{name}.example"

    forged = offer(service, letter(domain, f"forged-{name}"), f"carol@{domain}")
    unasked = offer(service, letter("nowhere.example", f"plain-{name}"), f"carol@{domain}")

    assert forged.startswith("550 5.7.26 ")
    assert unasked == "250"
    ours = our_results(arrived(service, next_hop, f"Subject: plain-{name}"))
    assert ours.of("spf")[0].result == "permerror"
    assert all(f"Subject: forged-{name}".encode() not in one.octets for one in next_hop.arrivals)


def wait_until_told(service, recipient: str, word: str) -> None:
    """Until the tenant reads this about mail to the recipient."""

    def found() -> bool:
        return word in " ".join(service.manage("trace", "--recipient", recipient).split())

    service.wait_for(found, 30, word)


def dsns(next_hop: Sink, author: str) -> list:
    return [
        message_from_bytes(one.octets, policy=policy.default)
        for one in list(next_hop.arrivals)
        if one.recipient == author and one.mail.startswith("MAIL FROM:<>")
    ]


def test_an_author_whose_mail_was_redirected_on_its_way_is_told_for_his_signature(
    service, next_hop
):
    """SPF fails behind any redirection; the signature of the reverse-path's domain does not."""
    author = "carol@moved.example"

    reply = offer(
        service, letter("moved.example", "moved", "moved.example"), author, "never@ada.example"
    )
    service.wait_for(lambda: dsns(next_hop, author), 30, "the DSN")

    assert reply == "250"
    (dsn,) = dsns(next_hop, author)
    (about,) = list(dsn.iter_parts())[1].get_payload()[1:]
    assert (about["Final-Recipient"], about["Status"]) == ("rfc822; never@ada.example", "5.1.1")


def test_the_signature_of_another_domain_tells_nobody(service, next_hop):
    victim = "victim@lists.example"
    octets = letter("moved.example", "borrowed", "moved.example")

    assert offer(service, octets, victim, "never@ada.example") == "250"

    wait_until_told(service, "never@ada.example", "reverse-path not authenticated")
    assert dsns(next_hop, victim) == []


def test_what_the_next_hop_takes_for_spam_is_told_to_the_tenant_alone(service, next_hop):
    author = "dora@moved.example"
    octets = letter("moved.example", "spammy", "moved.example")

    assert offer(service, octets, author, "spam@ada.example") == "250"

    wait_until_told(service, "spam@ada.example", "refused for content or policy")
    assert dsns(next_hop, author) == []
