"""Logging preferences: what is kept, what a change would remove, and who may change it."""

import pytest

from delivery import retention_counts
from delivery.messagelog.models import LoggedMessage
from delivery.retention import apply_to_tenant
from mail.facts import ALL_KEPT, LogLevel, NeverKept
from routing.models import AuditEntry, LogPolicy
from routing.selectors import domain_snapshot
from tenants.context import tenant_schema
from tenants.errors import UnknownName
from tests.delivery.log_words import a_trace_id, accepted, age_log, refused, the_log_writer_runs
from tests.panel.markup import faults

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),
]
VALUES = {
    "level": LogLevel.METADATA.value,
    "message_days": 30,
    "refused_days": 30,
    "attempt_days": 30,
    "content_days": 0,
    "audit_days": 365,
}


def shown(person, name: str = "logging", *args) -> str:
    response = person.client().get(person.url(name, *args))
    assert response.status_code == 200
    assert faults(response.content.decode()) == []
    return response.content.decode()


def sends(person, name: str, *args, client=None, version=None, **changes):
    """Fill in the form as the page has it."""
    client = client or person.client()
    if version is None:
        version = client.get(person.url(name, *args)).context["form"]["version"].value()
    return client.post(person.url(name, *args), {**VALUES, "version": version, **changes})


def policy_of(person, domain=None) -> LogPolicy | None:
    with tenant_schema(person.tenant.pk):
        return LogPolicy.objects.filter(domain__name=domain).first()


def entry(person) -> AuditEntry:
    with tenant_schema(person.tenant.pk):
        return AuditEntry.objects.order_by("-id").first()


def test_the_page_says_what_is_kept_and_how_much_there_is(ada):
    for _ in range(3):
        accepted(ada.tenant, a_trace_id())
    refused(ada.tenant, a_trace_id(), "nobody@ada.example")
    the_log_writer_runs()
    apply_to_tenant(ada.tenant.pk)

    text = shown(ada)

    assert "Each message with its addresses" in text
    assert '<td data-label="There are now" class="num">3</td>' in text
    assert '<td data-label="There are now" class="num">1</td>' in text
    assert "30 days" in text
    assert "365 days" in text
    assert "removed last" in text


def test_a_change_is_shown_with_its_numbers_and_only_then_saved(ada):
    for _ in range(3):
        accepted(ada.tenant, a_trace_id())
    the_log_writer_runs()
    age_log(ada.tenant, 10)

    preview = sends(ada, "logging-change", message_days=7)
    before = policy_of(ada).message_days
    saved = sends(ada, "logging-change", message_days=7, confirmed="yes")

    text = preview.content.decode()
    assert faults(text) == []
    assert "Nothing is saved yet" in text
    assert '<td data-label="Removed" class="num"><strong>3</strong></td>' in text
    assert (before, policy_of(ada).message_days) == (30, 7)
    assert saved.status_code == 303
    assert apply_to_tenant(ada.tenant.pk)["messages"]
    with tenant_schema(ada.tenant.pk):
        assert LoggedMessage.objects.count() == 0


def test_the_preview_alone_carries_everything_to_the_saving(ada):
    client = ada.client()
    preview = sends(ada, "logging-change", client=client, level=1, refused_days=3)
    fields = {
        name: preview.context["hidden"][name].value() for name in preview.context["hidden"].fields
    }

    client.post(ada.url("logging-change"), {**fields, "confirmed": "yes"})

    assert (policy_of(ada).level, policy_of(ada).refused_days) == (1, 3)


def test_the_change_is_in_the_audit_with_old_and_new(ada):
    sends(ada, "logging-change", level=LogLevel.HASHED.value, confirmed="yes")

    written = entry(ada)
    assert (written.action, written.actor) == ("log_policy.changed", ada.email)
    assert written.old["level"] == "metadata"
    assert written.new["level"] == "metadata, addresses hashed"


def test_the_edge_is_told_and_carries_what_is_never_kept(ada, monkeypatch):
    ada.has_domain("example.org")
    told: list[str] = []
    monkeypatch.setattr("routing.services.logpolicy.routes_changed", told.append)
    assert domain_snapshot("example.org").never_kept == ALL_KEPT

    sends(
        ada,
        "logging-change",
        level=LogLevel.CONTENT.value,
        content_days=2,
        refused_days=0,
        attempt_days=0,
        message_days=0,
        confirmed="yes",
    )

    snapshot = domain_snapshot("example.org")
    assert told == ["example.org"]
    assert snapshot.never_kept == NeverKept.MESSAGES | NeverKept.REFUSALS | NeverKept.ATTEMPTS
    assert snapshot.message_level is LogLevel.COUNTS
    assert snapshot.refusal_level is LogLevel.NOTHING
    assert not snapshot.keeps_attempts


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"message_days": ""}, "Fill this in."),
        ({"message_days": -1}, "At least 0."),
        ({"refused_days": 4000}, "At most 3650."),
        ({"audit_days": 89}, "At least 90."),
        ({"level": 9}, "Select a valid choice"),
        ({"level": LogLevel.CONTENT.value}, "Say for how many days"),
        ({"attempt_days": "seven"}, "Enter a whole number."),
    ],
)
def test_a_wrong_value_is_told_at_its_field_and_kept(ada, changes, words):
    response = sends(ada, "logging-change", **changes)

    assert response.status_code == 422
    text = response.content.decode()
    assert words in text
    assert "<title>Error:" in text
    assert faults(text) == []
    assert policy_of(ada).message_days == 30


def test_somebody_who_was_faster_is_noticed(ada):
    client = ada.client()
    seen = client.get(ada.url("logging-change")).context["form"]["version"].value()
    with tenant_schema(ada.tenant.pk):
        LogPolicy.objects.update(refused_days=5)

    preview = sends(ada, "logging-change", client=client, version=seen)
    save = sends(ada, "logging-change", client=client, version=seen, confirmed="yes")

    for response in (preview, save):
        assert response.status_code == 422
        assert "Somebody was faster" in response.content.decode()
        assert "5 days" in response.content.decode()
    assert policy_of(ada).refused_days == 5


def test_a_domain_may_have_its_own_and_follow_the_tenant_again(ada):
    ada.has_domain("example.org")
    ada.has_domain("other.example")
    name = "example.org"

    sends(ada, "logging-domain-change", name, level=1, confirmed="yes")
    own = policy_of(ada, "example.org").level
    levels = [domain_snapshot(name).log_level for name in ("example.org", "other.example")]
    listed, page = shown(ada), shown(ada, "logging-domain", name)
    asked = shown(ada, "logging-domain-remove", name)
    ada.client().post(ada.url("logging-domain-remove", name))

    assert own == LogLevel.COUNTS
    assert levels == [LogLevel.COUNTS, LogLevel.METADATA]
    assert "example.org" in listed
    assert "set for this domain alone" in page
    assert "follow" in asked.lower() or "Remove" in asked
    assert policy_of(ada, "example.org") is None
    assert entry(ada).action == "log_policy.removed"
    assert ada.client().get(ada.url("logging-domain-remove", name)).status_code == 404


def test_a_domain_is_found_by_its_name_as_people_write_it(ada):
    ada.has_domain("xn--bcher-kva.example")
    client = ada.client()

    found = client.get(ada.url("logging"), {"domain": "Bücher.example"})
    unknown = client.get(ada.url("logging"), {"domain": "nobody.example"})

    assert found["Location"] == ada.url("logging-domain", "xn--bcher-kva.example")
    assert unknown.status_code == 422
    assert "You have no domain of this name." in unknown.content.decode()


def test_many_rows_are_estimated_and_said_to_be(ada, monkeypatch):
    monkeypatch.setattr(retention_counts, "MOST_COUNTED", 2)
    for _ in range(5):
        accepted(ada.tenant, a_trace_id())
    the_log_writer_runs()
    age_log(ada.tenant, 10)

    text = shown(ada)
    preview = sends(ada, "logging-change", message_days=7).content.decode()

    assert "about " in text
    assert "about " in preview


def test_nothing_changed_is_said(ada):
    response = sends(ada, "logging-change")

    assert response.status_code == 303
    assert entry(ada).action != "log_policy.changed"


def test_who_may_not_change_may_look(ben, ada):
    ada.has_domain("example.org")
    domain = "example.org"

    assert "Change" not in shown(ben).split("<main")[1]
    shown(ben, "logging-domain", domain)
    for name, args in (
        ("logging-change", ()),
        ("logging-domain-change", (domain,)),
        ("logging-domain-remove", (domain,)),
    ):
        assert ben.client().get(ben.url(name, *args)).status_code == 403
        assert ben.client().post(ben.url(name, *args), VALUES).status_code == 403


def test_mallory_sees_404(ada, mallory):
    ada.has_domain("example.org")
    domain = "example.org"

    for person in (ada, mallory):
        for name in ("logging-domain", "logging-domain-change", "logging-domain-remove"):
            assert mallory.client().get(person.url(name, domain)).status_code == 404
    assert mallory.client().post(ada.url("logging-change"), VALUES).status_code == 404


@pytest.mark.parametrize("name", ["logging", "logging-change"])
def test_the_pages_ask_the_database_twelve_times_at_most(ada, name, django_assert_max_num_queries):
    client = ada.client()

    with django_assert_max_num_queries(12):
        client.get(ada.url(name))


def test_who_deletes_records_has_lately_proved_who_he_is(ada):
    ada.has_domain("example.org")
    client = ada.client(recent=False)
    names = (("logging-change",), ("logging-domain-change", "example.org"))

    for name in (*names, ("logging-domain-remove", "example.org")):
        for answer in (client.get(ada.url(*name)), client.post(ada.url(*name))):
            assert answer["Location"].startswith("/account/confirm/"), name
    assert client.get(ada.url("logging")).status_code == 200


def test_a_domain_that_somebody_just_removed_is_not_there(ada, monkeypatch):
    def gone(**values):
        raise UnknownName("gone")

    ada.has_domain("example.org")
    sends(ada, "logging-domain-change", "example.org", message_days=3, confirmed="yes")
    monkeypatch.setattr("panel.keeping.change.remove_policy", gone)
    monkeypatch.setattr("panel.keeping.change.set_policy", gone)

    removed = ada.client().post(ada.url("logging-domain-remove", "example.org"))
    saved = sends(ada, "logging-domain-change", "example.org", message_days=4, confirmed="yes")

    assert (removed.status_code, saved.status_code) == (404, 404)
