"""The page of one message, and what can be done with it."""

import pytest

from delivery.acceptance import KeptMessage, insert_messages
from delivery.models import Content, Delivery, DeliveryEvent, Message, RefusalTally
from mail.facts import LogLevel
from mail.plan import Hold
from mail.trace import format_trace_id
from routing.models import AuditEntry
from tenants.clock import database_now
from tenants.context import tenant_schema
from tenants.services import suspend_tenant
from tenants.services.owners import pause_mail
from tests.delivery.conftest import BODY, HEADER, a_message
from tests.delivery.log_words import (
    a_trace_id,
    accepted,
    attempted,
    refused,
    the_log_writer_runs,
)
from tests.panel.markup import faults

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),
]
HOSTILE = "<script>alert(1)</script>\u202egnp.exe"
State = Delivery.State


def kept(person, *, level=LogLevel.METADATA, **changes) -> Message:
    """A message in the queue as the edge keeps it."""
    octets = HEADER + b"\r\n" + BODY
    plan = a_message("friend@far.example", tenant_id=person.tenant.pk, log_level=level, **changes)
    insert_messages([KeptMessage(plan, (octets,), 0, 1)])
    return Message.objects.get(pk=plan.trace_id)


def the_page(person, trace_id) -> str:
    response = person.client().get(person.url("message", format_trace_id(trace_id)))
    assert response.status_code == 200
    text = response.content.decode()
    assert faults(text) == []
    return text


def act(person, what: str, message, **more):
    return person.client().post(person.url(f"message-{what}", format_trace_id(message.pk)), more)


def audit(person) -> list[str]:
    with tenant_schema(person.tenant.pk):
        return list(AuditEntry.objects.order_by("id").values_list("action", flat=True))


def test_the_story_runs_from_the_connection_to_the_last_reply(ada):
    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id, tls="TLSv1.3 TLS_AES_256_GCM_SHA384")
    attempted(ada.tenant, trace_id, "friend@far.example", "deferred", "451 4.7.1 Later, please")
    attempted(ada.tenant, trace_id, "friend@far.example", "delivered", "250 2.0.0 Ok: queued")
    the_log_writer_runs()

    text = the_page(ada, trace_id)

    for said in (
        "client.author.example",
        "192.0.2.7",
        "TLSv1.3",
        "ESMTP",
        "1.2 kB",
        "451 4.7.1 Later, please",
        "250 2.0.0 Ok: queued",
        "Delivered to friend@far.example.",
        "Is the domain unknown here?",
    ):
        assert said in text, said
    assert "unknown_domain" not in text
    assert "http-equiv" not in text


def test_what_waits_says_when_and_looks_again_by_itself_if_somebody_wants_that(ada):
    message = kept(ada)

    text = the_page(ada, message.pk)

    watched = ada.url("message", format_trace_id(message.pk)) + "?watch=on"
    assert '<meta http-equiv="refresh"' in ada.client().get(watched).content.decode()
    assert '<meta http-equiv="refresh"' not in text
    assert "?watch=on" in text
    assert "In the queue now" in text
    assert "Try again now" in text


def test_a_refusal_says_why_and_how_many_more_there_were(ada):
    trace_id = a_trace_id()
    refused(ada.tenant, trace_id, "nobody@ada.example")
    hour = database_now().replace(minute=0, second=0, microsecond=0)
    RefusalTally.objects.create(
        hour=hour,
        client_ip="192.0.2.7",
        domain="ada.example",
        tenant_id=ada.tenant.pk,
        count=251,
    )

    text = the_page(ada, trace_id)

    assert "Is there no route for this address?" in text
    assert "And 231 more like this" in text


def test_the_result_outlives_the_attempts(ada):
    from delivery.messagelog.models import LoggedEvent

    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id)
    attempted(ada.tenant, trace_id, "friend@far.example", "delivered")
    the_log_writer_runs()
    with tenant_schema(ada.tenant.pk):
        LoggedEvent.objects.filter(kind="attempted").delete()

    assert 'class="badge good">delivered' in the_page(ada, trace_id)


def test_subject_and_authors_of_strangers_are_text_and_bounded(ada):
    trace_id = a_trace_id()
    accepted(
        ada.tenant,
        trace_id,
        level=LogLevel.HEADERS,
        subject=HOSTILE + "x" * 1_000_000,
        author=HOSTILE,
        helo=HOSTILE,
    )
    the_log_writer_runs()

    text = the_page(ada, trace_id)

    assert "<script" not in text
    assert "\u202e" not in text
    assert len(text) < 60_000


def test_try_again_hold_and_release(ada):
    message = kept(ada)
    row = Delivery.objects.get()

    act(ada, "hold", message)
    held = Delivery.objects.get(pk=row.pk).state
    answer = act(ada, "release", message)
    act(ada, "retry", message)

    assert (held, Delivery.objects.get(pk=row.pk).state) == (State.HELD, State.QUEUED)
    assert answer.status_code == 303
    assert audit(ada)[-3:] == ["queue.hold", "queue.release", "queue.retry"]
    said = [one.data["reason"] for one in DeliveryEvent.objects.exclude(kind="accepted")]
    assert said[0] == "held by a member of the tenant"


def test_what_cannot_be_done_is_said(ada):
    message = kept(ada)

    response = ada.client().post(
        ada.url("message-release", format_trace_id(message.pk)), follow=True
    )

    assert "can be released now" in response.content.decode()


def test_what_the_operator_stopped_and_held_is_not_released_by_the_tenant(ada):
    message = kept(ada)
    suspend_tenant(tenant=ada.tenant, actor="root", for_abuse=True)
    Delivery.objects.update(state=State.HELD)

    for what in ("release", "retry"):
        answer = ada.client().post(
            ada.url(f"message-{what}", format_trace_id(message.pk)), follow=True
        )
        assert "The operator stopped this mail" in answer.content.decode()
        assert Delivery.objects.get().state == State.HELD

    answer = ada.client().post(ada.url("queue-retry"), {"next_hop": ""}, follow=True)
    assert "The operator stopped this mail" in answer.content.decode()


def test_an_owner_who_paused_his_mail_still_sends_what_he_holds(ada):
    message = kept(ada)
    pause_mail(tenant=ada.tenant, actor="root")
    Delivery.objects.update(state=State.HELD, hold=Hold.TENANT)

    act(ada, "release", message)

    assert Delivery.objects.get().state == State.QUEUED


def test_cancelling_asks_first_and_leaves_nothing(ada):
    message = kept(ada)
    client = ada.client()
    url = ada.url("message-cancel", format_trace_id(message.pk))

    asked = client.get(url).content.decode()
    there = Delivery.objects.count()
    client.post(url)

    assert "Nobody can bring it back" in asked
    assert faults(asked) == []
    assert there == 1
    assert (Delivery.objects.count(), Message.objects.count(), Content.objects.count()) == (0, 0, 0)
    assert "cancelled" in the_page(ada, message.pk) or "deleted" in the_page(ada, message.pk)
    assert audit(ada)[-1] == "queue.delete"


def test_content_of_failed_mail_is_downloaded_where_the_policy_keeps_it(ada):
    message = kept(ada, level=LogLevel.CONTENT)
    Delivery.objects.update(state=State.FAILED, finished_at=database_now())

    response = act(ada, "download", message)

    assert b"".join(response.streaming_content) == HEADER + b"\r\n" + BODY
    assert response["Content-Disposition"] == (
        f'attachment; filename="{format_trace_id(message.pk)}.eml"'
    )
    assert response["Content-Type"] == "message/rfc822"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert audit(ada)[-1] == "message.downloaded"


@pytest.mark.parametrize(
    ("level", "state"), [(LogLevel.HEADERS, State.FAILED), (LogLevel.CONTENT, State.QUEUED)]
)
def test_other_content_is_not_there_to_be_read(ada, level, state):
    message = kept(ada, level=level)
    Delivery.objects.update(state=state, finished_at=database_now())

    assert act(ada, "download", message).status_code == 404
    assert "Download" not in the_page(ada, message.pk)
    assert "message.downloaded" not in audit(ada)


def test_a_viewer_may_look_and_not_act(ben, ada):
    message = kept(ada)

    assert "Try again now" not in the_page(ben, message.pk)
    for what in ("retry", "hold", "release", "cancel", "download"):
        assert act(ben, what, message).status_code == 403, what
    assert Delivery.objects.get().state == State.QUEUED


@pytest.mark.parametrize("trace_id", ["x", "0" * 26, "…"])
def test_an_unknown_trace_id_is_404(ada, trace_id):
    assert ada.client().get(ada.url("message", trace_id)).status_code == 404


def test_a_long_story_comes_in_parts_with_every_attempt_in_one_of_them(ada):
    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id)
    for number in range(120):
        reply = f"451 4.7.1 attempt<{number}> {'&' * 200}"
        attempted(ada.tenant, trace_id, "friend@far.example", "deferred", reply)
    the_log_writer_runs()
    url = ada.url("message", format_trace_id(trace_id))

    pages = [text_of(ada, url)]
    while f"?part={len(pages) + 1}#" in pages[-1]:
        pages.append(text_of(ada, f"{url}?part={len(pages) + 1}"))

    assert len(pages) > 2
    assert all(len(page.encode()) < 60_000 and faults(page) == [] for page in pages)
    for number in range(120):
        assert sum(f"attempt&lt;{number}&gt;" in page for page in pages) == 1
    for part, same in (("0", 0), ("x", 0), ("", 0), ("999", -1), ("-1", 0), ("9" * 40, 0)):
        assert ("The latest" in text_of(ada, f"{url}?part={part}")) is (same == 0)


def test_of_very_many_events_the_first_and_the_last_are_read(ada, monkeypatch):
    monkeypatch.setattr("delivery.selectors.MOST_EVENTS", 20)
    monkeypatch.setattr("delivery.selectors.FIRST_EVENTS", 5)
    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id)
    for number in range(40):
        attempted(ada.tenant, trace_id, "friend@far.example", "deferred", f"451 try {number}.")
    the_log_writer_runs()

    text = the_page(ada, trace_id)

    assert "events in the middle are left out" in text
    assert all(f"451 try {number}." in text for number in (0, 3, 25, 39))
    assert "451 try 10." not in text


def text_of(person, url) -> str:
    return person.client().get(url).content.decode()


def test_mallory_sees_404(ada, mallory):
    message = kept(ada)

    for person, slug in ((mallory, ada), (mallory, mallory)):
        for name in ("message", "message-cancel"):
            url = slug.url(name, format_trace_id(message.pk))
            assert person.client().get(url).status_code == 404
            assert person.client().post(url).status_code in (404, 405)
    assert Delivery.objects.count() == 1


def test_the_page_asks_the_database_twelve_times_at_most(ada, django_assert_max_num_queries):
    message = kept(ada, level=LogLevel.CONTENT)
    Delivery.objects.update(state=State.FAILED, finished_at=database_now())
    client = ada.client()

    with django_assert_max_num_queries(12):
        client.get(ada.url("message", format_trace_id(message.pk)))


def test_every_rule_of_all_policies_has_words():
    from delivery.rule_words import unknown_rules
    from mail.policy.message import MESSAGE_RULES
    from mail.policy.recipient import RECIPIENT_RULES
    from mail.policy.trust_rules import TRUST_RULES

    rules = (*RECIPIENT_RULES, *MESSAGE_RULES, *TRUST_RULES)
    assert unknown_rules(rule.__name__ for rule in rules) == []


@pytest.mark.parametrize(
    ("outcome", "reason", "told"),
    [
        ("delivered", "2.0.0", ""),
        ("deferred", "4.2.2", "reason: the mailbox (status 4.2.2)"),
        ("failed", "5.7.1", "reason: security, or the receiver&#x27;s policy (status 5.7.1)"),
        ("failed", "5.99.1", "reason: other (status 5.99.1)"),
        ("failed", "nobody answers", "reason: nobody answers"),
    ],
)
def test_the_reason_of_an_attempt_is_told_in_words(ada, outcome, reason, told):
    trace_id = a_trace_id()
    accepted(ada.tenant, trace_id)
    attempted(ada.tenant, trace_id, "friend@far.example", outcome, "250 x", reason=reason)
    the_log_writer_runs()

    text = ada.client().get(ada.url("message", format_trace_id(trace_id))).content.decode()

    assert told in text
    assert f"reason: {reason}" not in text or told == f"reason: {reason}"
    assert told or "reason:" not in text
