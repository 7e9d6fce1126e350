"""Signatures made by others: the message of RFC 8463 and the test data of dkimpy."""

import re
from pathlib import Path

import pytest

from mail.authentication.values import DkimResult
from tests.mail.authentication.signed_mail import ask_dkimpy, verdicts

DATA = Path(__file__).parents[2] / "fixtures" / "dkim"
GMAIL = (
    "k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA1Kd87/UeJjenpabgbFwh"
    "+eBCsSTrqmwIYYvywlbhbqoo2DymndFkbjOVIPIldNs/m40KF+yzMn1skyoxcTUGCQ"
    "s8g3FgD2Ap3ZB5DekAo5wMmk4wimDO+U8QzI3SD07y2+07wlNWwIt8svnxgdxGkVbb"
    "hzY8i+RQ9DpSVpPbF7ykQxtKXkv/ahW3KjViiAH+ghvvIhkx4xYSIc9oSwVmAl5Oct"
    "MEeWUwg8Istjqz8BZeTWbf41fbNhte7Y+YqZOwq1Sd0DbvYAD9NOZK9vlfuac0598H"
    "Y+vtSBczUiKERHv1yRbcaQtZFh5wtiRrN04BLUTD21MycBX5jYchHjPY/wIDAQAB"
)
BRISBANE = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
PASS, FAIL, PERMERROR = DkimResult.PASS, DkimResult.FAIL, DkimResult.PERMERROR


def octets_of(name: str) -> bytes:
    return re.sub(rb"\r?\n", b"\r\n", (DATA / name).read_bytes())


def text_of(name: str) -> str:
    return (DATA / name).read_text().strip()


FOOTBALL = {
    "test._domainkey.football.example.com": text_of("test.txt"),
    "brisbane._domainkey.football.example.com": BRISBANE,
}


def results(octets: bytes, zone: dict) -> list[DkimResult]:
    return [one.result for one in verdicts(octets, zone).dkim]


def test_both_signatures_of_rfc_8463_pass():
    found = verdicts(octets_of("rfc8463.eml"), FOOTBALL).dkim

    assert [(one.result, one.algorithm, one.selector) for one in found] == [
        (PASS, "ed25519-sha256", "brisbane"),
        (PASS, "rsa-sha256", "test"),
    ]
    assert {one.identity for one in found} == {"@football.example.com"}
    assert [one.signature_start for one in found] == ["/gCrinpc", "F45dVWDf"]


@pytest.mark.parametrize(
    ("old", "new"), [(b"Joe.", b"Jo."), (b"dinner", b"Dinner"), (b"Fri, 11", b"Fri, 12")]
)
def test_a_change_breaks_both_signatures_of_rfc_8463(old, new):
    octets = octets_of("rfc8463.eml").replace(old, new)

    assert results(octets, FOOTBALL) == [FAIL, FAIL]


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("rfc6376.signed.msg", FOOTBALL),
        ("rfc6376.signed.rsa.msg", FOOTBALL),
        ("rfc6376.signed.no_t.msg", FOOTBALL),
        ("rfc6376.w1258.msg", FOOTBALL),
        ("ed25519test2.msg", {"sed._domainkey.test.ex": text_of("eximtest.dns")}),
        ("test2.message", {"20120113._domainkey.gmail.com": GMAIL}),
        ("test.message.baddomain", {"test._domainkey.legitimate.com(.attacker.com": GMAIL}),
        ("test.message", {}),
        ("message.mbox", {}),
    ],
)
def test_messages_of_dkimpy_have_the_verdicts_that_dkimpy_gives(name, zone):
    octets = octets_of(name)
    ours = [result is PASS for result in results(octets, zone)]

    message = octets.decode("latin-1")
    tasks = [
        {"do": "verify", "message": message, "records": zone, "index": index}
        for index in range(max(len(ours), 1))
    ]

    theirs = [answer is True for answer in ask_dkimpy(*tasks)]
    assert (ours or [False]) == theirs


SAME_KEY = {"do": "sign", "canonicalize": ["relaxed", "relaxed"], "domain": "example.com"}


@pytest.mark.parametrize(
    ("record", "private", "expected"),
    [
        ("test.txt", "test.private", PASS),
        ("test2.txt", "test.private", PASS),  # k= is left to its default
        ("1024_testkey_wo_markers.pub.txt", "1024_testkey.key", PASS),
        ("1024_testkey_wo_markers.pub.rsa.txt", "1024_testkey.key", PASS),  # PKCS #1
        ("2048_testkey_wo_markers.pub.txt", "2048_testkey.key", PASS),
        ("2048_testkey_wo_markers.pub.rsa.txt", "2048_testkey.key", PASS),
        ("2048_testkey_wo_markers.pub.txt", "1024_testkey.key", FAIL),
        ("badversion.txt", "test.private", PERMERROR),
        ("badk.txt", "test.private", PERMERROR),
        ("test_tlsrpt.txt", "test.private", PERMERROR),
    ],
)
def test_key_records_of_dkimpy(record, private, expected):
    octets = octets_of("test.message")
    task = {**SAME_KEY, "message": octets.decode("latin-1"), "pem": text_of(private)}

    (field,) = ask_dkimpy(task)

    signed = field.encode("latin-1") + octets
    zone = {"s._domainkey.example.com": text_of(record)}
    (found,) = verdicts(signed, zone, now=2_000_000_000).dkim
    assert found.result is expected, found
