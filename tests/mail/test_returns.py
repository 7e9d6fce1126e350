"""A return becomes a DSN of ours that says nothing but what our own mark and closed lists prove."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mail.bounces import read_return
from mail.dsn import failure_dsn
from mail.dsn_policy import Reason, Told, judge_return
from mail.marker import Mark, mark_field, prove_return, seal_mark
from mail.returns import dsn_of_return, facts_of_return
from mail.trace import new_trace_id

FIXTURES = Path(__file__).parents[1] / "fixtures" / "bounces"
KEY = b"k" * 32
NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
CAROL = "carol@author.example"
MARK = Mark(
    new_trace_id(1_773_482_400_000, b"0123456789"),
    7,
    42,
    "hi@ada.example",
    CAROL,
    b"<tea@author.example>",
    True,
)


def came_back(name="postfix", mark=MARK, reverse_path=CAROL):
    """A report and the mark proved from it."""
    field = mark_field(seal_mark(mark, KEY))[14:-2].strip()
    report = read_return((FIXTURES / f"{name}.eml").read_bytes().replace(b"{mark}", field))
    return report, prove_return(report.marks, reverse_path=reverse_path, keys=[KEY])


def told_about(name="postfix", mark=MARK, reverse_path=CAROL, told=Told()):  # noqa: B008 - frozen
    report, proved = came_back(name, mark, reverse_path)
    return judge_return(facts_of_return(report, proved, reverse_path=reverse_path, told=told))


def dsn_about(name, mark=MARK):
    report, proved = came_back(name, mark, mark.reverse_path)
    return failure_dsn(
        dsn_of_return(
            report, proved, reverse_path=mark.reverse_path, service_domain="mxax.test",
            message_id="<dsn.2@mxax.test>", now=NOW,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    "name", ["postfix", "sendmail", "office365", "gmail", "exim", "qmail", "exchange_old", "yahoo"]
)
def test_the_author_hears_of_it_under_the_address_that_he_wrote(name):
    dsn = dsn_about(name)

    assert told_about(name).send
    assert b"Final-Recipient: rfc822; hi@ada.example\r\n" in dsn
    assert b"Arrival-Date: Sat, 14 Mar 2026 10:00:00 +0000\r\n" in dsn
    assert b"In-Reply-To: <tea@author.example>\r\n" in dsn
    assert b"kim" not in dsn
    assert b"corp" not in dsn


def test_a_message_id_that_the_mark_does_not_confirm_stays_away():
    dsn = dsn_about("postfix", replace(MARK, message_id=b"<coffee@author.example>"))

    assert b"tea@author.example" not in dsn


def test_a_batv_reverse_path_gets_its_dsn_exactly():
    batv = "prvs=3814d3f6a1=carol@author.example"

    assert told_about(mark=replace(MARK, reverse_path=batv), reverse_path=batv).send
    assert f"To: <{batv}>\r\n".encode() in dsn_about("postfix", replace(MARK, reverse_path=batv))


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ({"name": "vacation"}, Reason.AUTO_REPLY),
        ({"name": "challenge"}, Reason.AUTO_REPLY),
        ({"name": "postfix_delayed"}, Reason.NOT_A_FAILURE),
        ({"name": "delivered"}, Reason.NOT_A_FAILURE),
        ({"name": "plain_mail"}, Reason.NOT_A_FAILURE),
        ({"name": "status_as_text"}, Reason.CONTENT_REFUSED),
        ({"mark": replace(MARK, authenticated=False)}, Reason.UNAUTHENTICATED),
        ({"mark": replace(MARK, reverse_path="mallory@evil.example")}, Reason.NOT_PROVED),
        ({"reverse_path": ""}, Reason.NULL_REVERSE_PATH),
        ({"told": Told(about_recipient=True)}, Reason.ALREADY_TOLD),
    ],
)
def test_otherwise_it_is_only_recorded(case, reason):
    assert told_about(**case).reason is reason
