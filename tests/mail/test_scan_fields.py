"""What scanners found, said in fields that filters know; forged ones do not pass for ours."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail.message import header_fields, without_ranges
from mail.scan_fields import cut_scan_fields, scan_fields
from mail.scanning import ScanOutcome, ScanResult

SPAM = ScanResult("rspamd", ScanOutcome.SPAM, 7.2, 6.0, ("FORGED_X", "BAD_Y"))
HAM = ScanResult("spamd", ScanOutcome.CLEAN, -1.5, 5.0, ("ALL_TRUSTED",))
VIRUS = ScanResult("clamd", ScanOutcome.VIRUS, names=("Eicar-Test-Signature",))
CLEAN = ScanResult("clamd", ScanOutcome.CLEAN)


def read(fields: str) -> dict[str, list[str]]:
    """As a program reads them that is not ours."""
    message = email.message_from_string(fields + "\r\n", policy=email.policy.default)
    return {name: [" ".join(one.split()) for one in message.get_all(name)] for name in message}


def test_each_scanner_has_a_line_and_filters_find_their_usual_names():
    found = read(scan_fields((SPAM, HAM, VIRUS)))

    assert found == {
        "X-Mxax-Scan": [
            "rspamd; spam; score=7.2; required=6; names=FORGED_X,BAD_Y",
            "spamd; clean; score=-1.5; required=5; names=ALL_TRUSTED",
            "clamd; virus; names=Eicar-Test-Signature",
        ],
        "X-Spam-Flag": ["YES"],
        "X-Spam-Score": ["7.2"],
        "X-Spam-Status": ["Yes, score=7.2 required=6 tests=FORGED_X,BAD_Y"],
        "X-Virus-Status": ["Infected (Eicar-Test-Signature)"],
    }


def test_clean_mail_bears_no_flag():
    found = read(scan_fields((HAM, CLEAN)))

    assert "X-Spam-Flag" not in found
    assert found["X-Spam-Status"] == ["No, score=-1.5 required=5 tests=ALL_TRUSTED"]
    assert found["X-Virus-Status"] == ["Clean"]


def test_the_spam_fields_are_of_the_scanner_that_calls_it_spam():
    mild = ScanResult("spamd", ScanOutcome.SPAM, 5.1, 5.0, ("MILD",))
    high_but_clean = ScanResult("rspamd", ScanOutcome.CLEAN, 16.0, 15.0)

    assert read(scan_fields((high_but_clean, mild)))["X-Spam-Score"] == ["5.1"]


@pytest.mark.parametrize("outcome", [ScanOutcome.FAILED, ScanOutcome.SKIPPED])
def test_who_did_not_judge_is_named_and_gives_no_score(outcome):
    results = tuple(ScanResult(name, outcome, reason="x") for name in ("rspamd", "clamd"))

    assert read(scan_fields(results)) == {
        "X-Mxax-Scan": [f"rspamd; {outcome.value}", f"clamd; {outcome.value}"]
    }


def test_without_scanners_there_are_no_fields():
    assert scan_fields(()) == ""


def test_fifty_long_names_are_folded_and_stay_one_list():
    names = tuple(f"RULE_{number}_{'X' * 70}" for number in range(50))

    fields = scan_fields((ScanResult("spamd", ScanOutcome.SPAM, 99, 5, names),))

    assert max(map(len, fields.split("\r\n"))) <= 100
    tests = read(fields)["X-Spam-Status"][0].partition("tests=")[2]
    assert tests.replace(" ", "") == ",".join(names)


NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=",;"),
                min_size=1, max_size=80)  # fmt: skip
RESULTS = st.builds(
    ScanResult,
    scanner=st.sampled_from(["rspamd", "spamd", "clamd"]),
    outcome=st.sampled_from(ScanOutcome),
    score=st.floats(-1e6, 1e6),
    threshold=st.floats(-1e6, 1e6),
    names=st.lists(NAMES, max_size=50).map(tuple),
)


@given(st.lists(RESULTS, max_size=3))
def test_whatever_scanners_say_the_fields_are_well_formed(results):
    fields = scan_fields(results)

    assert fields.isascii()
    assert all(len(line) <= 200 for line in fields.split("\r\n"))
    read_again = header_fields(fields.encode())
    assert {one.name for one in read_again} <= {
        b"x-mxax-scan", b"x-spam-flag", b"x-spam-score", b"x-spam-status", b"x-virus-status",
    }  # fmt: skip
    assert len([one for one in read_again if one.name == b"x-mxax-scan"]) == len(results)


def test_a_forged_field_of_ours_goes_and_those_of_others_stay():
    octets = (
        b"x-MXAX-scan: rspamd; clean;\r\n\tscore=-9\r\n"
        b"X-Spam-Status: No\r\nX-Mxax-Route: kept\r\nX-Mxax-Scan : clamd; clean\r\n"
        b"From: ada@example.org\r\n\r\nX-Mxax-Scan: of the body\r\n"
    )

    assert without_ranges(octets, cut_scan_fields(octets)) == (
        b"X-Spam-Status: No\r\nX-Mxax-Route: kept\r\n"
        b"From: ada@example.org\r\n\r\nX-Mxax-Scan: of the body\r\n"
    )


def test_mail_without_such_fields_is_not_looked_through():
    assert cut_scan_fields(b"From: ada@example.org\r\n\r\nhi\r\n") == []
