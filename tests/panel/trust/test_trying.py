"""The dry run on a page, and what the message's page says of trust."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from mail.trace import format_trace_id
from routing.selectors import domain_snapshot
from tests.delivery.log_words import the_log_writer_runs
from tests.delivery.test_trust_trial import logs
from tests.mail.test_trust_rules import AUTHOR, CHAIN, FAILS, QUARANTINED, facts
from tests.panel.markup import faults
from tests.panel.trust.test_trust_pages import CHOICE, both_scanners

__all__ = ["both_scanners"]

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),
]
# Its place, its count, and letting others in again (panel/heavy.py).
OF_HEAVY_WORK = 14
TRIED = {
    name: value for name, value in CHOICE.items() if name not in ("quarantine_days", "sends_digest")
} | {"days": "30"}


def tries(person, **changes) -> str:
    query = urlencode({**TRIED, **changes})
    response = person.client().get(f"{person.url('trust-try')}?{query}")
    text = response.content.decode()
    assert faults(text) == []
    assert response.status_code == 200
    return text


def test_the_form_says_what_is_chosen_now(ada):
    response = ada.client().get(ada.url("trust-try"))

    assert response.context["form"]["on_dmarc_reject"].value() == "refuse"
    assert response.context["form"]["days"].value() == 30
    assert response.context["trial"] is None


def test_what_would_have_changed_is_counted_listed_and_explained(ada):
    refused = logs(ada, facts(FAILS))
    logs(ada, facts(QUARANTINED))
    logs(ada, facts())
    the_log_writer_runs()

    text = tries(ada, on_dmarc_reject="forward", on_dmarc_quarantine="hold")

    assert "2 of 3 messages would have gone another way." in text
    assert "1 that was refused would have been taken." in text
    assert "1 that was taken would have been held." in text
    assert ada.url("message", format_trace_id(refused)) in text
    assert AUTHOR in text
    assert "whose policy is quarantine" in text


def test_nothing_is_changed_by_trying(ada):
    ada.has_domain("example.org")
    logs(ada, facts(FAILS))
    the_log_writer_runs()

    tries(ada, on_dmarc_reject="forward")

    assert domain_snapshot("example.org").trust.refuses_dmarc_reject


def test_what_was_tried_can_be_chosen(ada):
    logs(ada, facts(FAILS))
    the_log_writer_runs()
    text = tries(ada, on_dmarc_reject="forward", rspamd_refuse_from="12")
    link = f"{ada.url('trust-change')}?{urlencode({**TRIED, 'on_dmarc_reject': 'forward', 'rspamd_refuse_from': '12'})}"

    form = ada.client().get(link).context["form"]

    assert link.replace("&", "&amp;") in text
    assert form["on_dmarc_reject"].value() == "forward"
    assert form["rspamd_refuse_from"].value() == "12"
    assert form["quarantine_days"].value() == 14


def test_the_same_policy_and_an_empty_log_say_so(ada):
    assert "There is no mail to judge again." in tries(ada)
    logs(ada, facts(FAILS))
    the_log_writer_runs()
    assert "No message would have gone another way: 1 was judged again." in tries(ada)


@pytest.mark.parametrize(
    "changes", [{"days": "0"}, {"days": "91"}, {"on_virus": "x"}, {"days": ""}]
)
def test_wrong_values_are_said_at_the_field(ada, changes):
    response = ada.client().get(f"{ada.url('trust-try')}?{urlencode({**TRIED, **changes})}")

    assert response.status_code == 422
    assert response.context["form"].errors


def test_a_page_that_stops_early_says_where(ada, monkeypatch):
    monkeypatch.setattr("panel.trust.trial.MOST_MESSAGES", 1)
    for _ in range(2):
        logs(ada, facts())
    the_log_writer_runs()

    assert "stopped there" in tries(ada)


def test_many_changes_are_a_page_of_few_octets_and_queries(ada, django_assert_max_num_queries):
    for _ in range(210):
        logs(ada, facts(FAILS))
    the_log_writer_runs()
    client = ada.client()

    with django_assert_max_num_queries(12 + OF_HEAVY_WORK):
        response = client.get(ada.url("trust-try"), {**TRIED, "on_dmarc_reject": "forward"})

    text = response.content.decode()
    assert faults(text) == []
    assert "The newest 60 of them." in text
    assert "210 of 210 messages" in text


def test_the_messages_page_says_who_wrote_it_and_which_rule_decided(ada):
    trace_id = logs(ada, facts(FAILS, arc=CHAIN))
    the_log_writer_runs()

    response = ada.client().get(ada.url("message", format_trace_id(trace_id)))

    text = response.content.decode()
    assert faults(text) == []
    assert "Who wrote it, as far as it can be known" in text
    assert "Nothing shows that it comes from author.example" in text
    assert "and says that DMARC passed there" in text
    assert "Does DMARC fail, and does the author&#x27;s domain ask to refuse such mail?" in text


def test_a_message_of_which_nothing_was_found_says_nothing_of_it(ada):
    from tests.delivery.log_words import a_trace_id, accepted

    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id)
    the_log_writer_runs()

    text = ada.client().get(ada.url("message", format_trace_id(trace_id))).content.decode()

    assert "Who wrote it" not in text


def test_the_trail_marks_the_rule_that_decided():
    from delivery.rule_words import asked_rules
    from mail.policy.message import MESSAGE_RULES
    from mail.policy.trust_rules import judge_trust
    from tests.mail.test_trust_rules import allows

    first = MESSAGE_RULES[0].__name__
    before = ("unknown_address", "accept", *(rule.__name__ for rule in MESSAGE_RULES), "accept")

    for given, decided in (
        (facts(FAILS), ["dmarc_reject"]),
        (facts(policy=allows(AUTHOR)), ["allowed_author"]),
        (facts(), []),
    ):
        trail = (*before, *judge_trust(given).trail)
        words = [one.question for one in asked_rules(trail, first_of_message=first) if one.decided]
        from delivery.rule_words import question_of

        assert words == [question_of(name) for name in decided]
