"""Mail is found by any name in it, newest first, page by page, without reading the whole log."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from delivery import logsearch
from delivery.logsearch import LogQuery, find, read_typed
from mail.facts import LogLevel
from mail.trace import format_trace_id, new_trace_id
from tenants.context import tenant_schema
from tests.delivery.log_words import a_trace_id, accepted, attempted, refused, the_log_writer_runs

pytestmark = pytest.mark.django_db


def search(tenant, typed: str = "", *, after: str = "", before: str = "", **more):
    the_log_writer_runs()
    with tenant_schema(tenant.pk):
        return find(LogQuery(typed=typed, **more), after=after, before=before)


def found(tenant, typed: str = "", **more) -> set[UUID]:
    return {row.trace_id for row in search(tenant, typed, **more).rows}


def mail(tenant, *recipients: str, trace_id: UUID | None = None, **more) -> UUID:
    trace_id = trace_id or a_trace_id()
    pairs = tuple((one, "friend@far.example") for one in recipients or ("hi@ada.example",))
    accepted(tenant, trace_id, recipients=pairs, **more)
    return trace_id


def on(day: date) -> UUID:
    moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return new_trace_id(int(moment.timestamp() * 1000), b"0123456789")


def test_a_message_is_found_by_any_of_its_recipients(ada):
    wanted = mail(ada.tenant, "first@ada.example", "second@ada.example", "third@other.example")
    mail(ada.tenant, "else@ada.example")

    for typed in ("first@ada.example", "THIRD@Other.example", "other.example", "@other.example"):
        assert found(ada.tenant, typed) == {wanted}, typed


def test_reverse_path_and_author_are_found_too_and_the_side_narrows(ada):
    wanted = mail(ada.tenant, reverse_path="bounce@list.example", author="dora@author.example")

    for typed in ("bounce@list.example", "dora@author.example", "list.example", "dor"):
        assert found(ada.tenant, typed) == {wanted}, typed
        assert found(ada.tenant, typed, side="from") == {wanted}, typed
        assert found(ada.tenant, typed, side="to") == set(), typed


def test_what_begins_as_typed_is_found_but_only_if_that_was_meant(ada):
    wanted = mail(ada.tenant, "sales@ada.example")

    for typed in ("sal", "sal*", "sales@ada.ex*", "@ada.ex*", "ada*"):
        assert found(ada.tenant, typed) == {wanted}, typed
    assert found(ada.tenant, "sales@ada.exa") == set()
    assert found(ada.tenant, "sal%") == set()


def test_a_hashed_address_is_found_by_the_whole_of_it(ada):
    wanted = mail(ada.tenant, "hi@ada.example", level=LogLevel.HASHED)

    assert found(ada.tenant, "Hi@ada.example") == {wanted}
    assert found(ada.tenant, "carol@author.example") == {wanted}
    assert found(ada.tenant, "hi") == set()
    assert found(ada.tenant, "ada.example") == set()


def test_an_international_domain_is_found_as_people_write_it(ada):
    wanted = mail(ada.tenant, "hi@xn--bcher-kva.example")

    assert found(ada.tenant, "hi@bücher.example") == {wanted}
    assert found(ada.tenant, "Bücher.example") == {wanted}


def test_a_trace_id_finds_its_message(ada, mallory):
    wanted, foreign = mail(ada.tenant), mail(mallory.tenant)

    assert found(ada.tenant, format_trace_id(wanted)) == {wanted}
    assert found(ada.tenant, format_trace_id(foreign)) == set()


def test_mallorys_mail_is_not_found(ada, mallory):
    mail(mallory.tenant, "hi@ada.example")

    assert found(ada.tenant, "hi@ada.example") == set()
    assert found(ada.tenant) == set()


def test_state_direction_reason_and_days_narrow(ada):
    today = date(2026, 11, 20)
    old = mail(ada.tenant, trace_id=on(today - timedelta(days=9)))
    failed = mail(ada.tenant, trace_id=on(today))
    attempted(ada.tenant, failed, "friend@far.example", "failed", "550 5.2.2 100% full_up")
    notice = mail(ada.tenant, trace_id=on(today - timedelta(days=1)), direction="notice")
    no_such = a_trace_id()
    refused(ada.tenant, no_such, "nobody@ada.example")

    assert found(ada.tenant, state="failed") == {failed}
    assert found(ada.tenant, state="refused") == {no_such}
    assert found(ada.tenant, state="accepted") == {old, notice}
    assert found(ada.tenant, direction="notice") == {notice}
    assert found(ada.tenant, reason="100% FULL_") == {failed}
    assert found(ada.tenant, reason="100x") == set()
    assert found(ada.tenant, until=today - timedelta(days=9)) == {old}
    assert found(ada.tenant, since=today, until=today) == {failed}
    assert found(ada.tenant, "hi@ada.example", state="failed", reason="full") == {failed}
    assert found(ada.tenant, "ada.example", state="refused") == {no_such}
    assert found(ada.tenant, "no", state="refused") == {no_such}
    assert found(ada.tenant, "no", state="failed") == set()


def test_pages_go_forward_and_back_by_key(ada, monkeypatch):
    monkeypatch.setattr(logsearch, "PAGE_ROWS", 2)
    ids = [mail(ada.tenant) for _ in range(5)][::-1]

    for typed in ("", "hi@ada.example", "h"):
        first = search(ada.tenant, typed)
        second = search(ada.tenant, typed, after=first.after)
        third = search(ada.tenant, typed, after=second.after)
        back = search(ada.tenant, typed, before=third.before)
        pages = [[row.trace_id for row in page.rows] for page in (first, second, third, back)]
        assert pages == [ids[:2], ids[2:4], ids[4:], ids[2:4]], typed
        assert (first.before, third.after) == ("", ""), typed
        assert back.before, typed


def test_a_search_that_matches_little_says_how_far_it_looked_and_goes_on(ada, monkeypatch):
    monkeypatch.setattr(logsearch, "MOST_WALKED", 2)
    rare = mail(ada.tenant, direction="send")
    for _ in range(5):
        mail(ada.tenant)

    page = search(ada.tenant, direction="send")
    steps = 1
    while not page.rows:
        assert page.looked_back_to is not None
        page = search(ada.tenant, direction="send", after=page.after)
        steps += 1

    assert [row.trace_id for row in page.rows] == [rare]
    assert steps == 3


def test_many_names_that_begin_alike_are_walked_through(ada, monkeypatch):
    monkeypatch.setattr(logsearch, "MOST_NAMES", 2)
    ids = {mail(ada.tenant, f"s{number}@ada.example") for number in range(5)}
    mail(ada.tenant, "other@ada.example")

    assert found(ada.tenant, "s") == ids


@pytest.mark.parametrize("typed", ["", "*", "@", "@*", "<>", " ", "\\", "%", "a" * 400, "ü@ü*"])
def test_odd_input_finds_something_or_nothing_and_never_breaks(ada, typed):
    mail(ada.tenant)

    search(ada.tenant, typed, state="failed")
    search(ada.tenant, typed)


@pytest.mark.parametrize("key", ["x", "0" * 26, "z" * 26, "7" + "z" * 25])
def test_a_made_up_key_gives_a_page(ada, key):
    mail(ada.tenant)

    search(ada.tenant, after=key)
    search(ada.tenant, before=key)


def test_what_was_typed_is_read_as_the_page_says():
    assert read_typed("<Hi@Example.org>").names[0] == "hi@example.org"
    assert read_typed("example.org").names == ("@example.org",)
    assert read_typed("@example.org").is_domain
    assert read_typed("sal").beginnings == ("sal", "@sal")
    assert read_typed("hi@exa*").beginnings == ("hi@exa",)
