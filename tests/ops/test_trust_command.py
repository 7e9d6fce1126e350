"""`manage.py trust try`: the dry run for operators."""

from __future__ import annotations

import json

import pytest

from tests.delivery.log_words import the_log_writer_runs
from tests.delivery.test_trust_trial import logs
from tests.mail.test_trust_rules import AUTHOR, FAILS, QUARANTINED, facts
from tests.ops.test_operator_commands import fine, manage  # noqa: F401

pytestmark = pytest.mark.django_db


def test_it_says_what_another_policy_would_have_done(ada, manage):  # noqa: F811
    logs(ada, facts(FAILS))
    logs(ada, facts(QUARANTINED))
    the_log_writer_runs()

    text = fine(
        manage(*("trust", "try", "ada", "--dmarc-reject", "forward", "--dmarc-quarantine", "hold"))
    )

    assert text.startswith("2 messages of the last 30 days were judged again.\n")
    assert "1 that were refused would have been taken." in text
    assert "1 that were taken would have been held." in text
    assert AUTHOR in text
    assert "dmarc_quarantine: DMARC fails for author.example" in text


def test_the_tenants_own_policy_changes_nothing_and_json_is_plain(ada, manage):  # noqa: F811
    logs(ada, facts(FAILS))
    the_log_writer_runs()

    same = fine(manage("trust", "try", "ada"))
    told = json.loads(fine(manage("trust", "try", "ada", "--dmarc-reject", "forward", "--json")))

    assert "None of them would have gone another way." in same
    assert (told["judged"], told["changed"], told["looked_back_to"]) == (1, 1, None)
    assert told["turns"] == [{"was": "refuse", "would_be": "accept", "count": 1}]
    assert told["changes"][0]["was_by"] == "dmarc_reject"


@pytest.mark.parametrize(
    "wrong", [["nobody"], ["ada", "--days", "0"], ["ada", "--dmarc-reject", "x"]]
)
def test_wrong_arguments_are_said_in_one_line(ada, manage, wrong):  # noqa: F811
    status, _, error = manage("trust", "try", *wrong)

    assert status != 0
    assert len(error.strip().splitlines()) == 1
