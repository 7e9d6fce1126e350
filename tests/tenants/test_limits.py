"""One limiter for all that can be tried too often: who is slowed down, and who never is."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from tenants.limits import (
    LIMITS,
    Kind,
    Limit,
    _of_account,
    attempt_succeeded,
    count_attempt,
    seconds_to_wait,
    sweep_tallies,
)
from tenants.models import AttemptTally

pytestmark = pytest.mark.django_db

HOME, ELSEWHERE = "192.0.2.7", "198.51.100.9"


def tries(times: int, *, client_ip: str = HOME, account: str = "", kind: Kind = Kind.SIGN_IN):
    return [count_attempt(kind, client_ip=client_ip, account=account) for _ in range(times)]


def allowed(verdicts) -> int:
    return sum(verdict.allowed for verdict in verdicts)


def strangers(number: int, account: str) -> int:
    """As many strangers, each from another network, try the account once."""
    return allowed(
        count_attempt(Kind.SIGN_IN, client_ip=f"10.{one // 250}.{one % 250}.1", account=account)
        for one in range(number)
    )


def time_goes_by(days: int) -> None:
    """Whole days, so that every window begins where windows begin."""
    with connection.cursor() as cursor:
        cursor.execute(
            'UPDATE tenants_attempttally SET "window" = "window" - make_interval(days => %s)',
            [days],
        )


def test_hundreds_of_attempts_of_one_client_are_ten():
    verdicts = tries(300, account="ada@ada.example")

    assert allowed(verdicts) == 10
    assert [verdict.allowed for verdict in verdicts[:10]] == [True] * 10
    assert 1 <= verdicts[-1].retry_after_seconds <= 2 * 900


def test_a_client_who_changes_the_account_is_slowed_down_just_as_much():
    verdicts = [
        count_attempt(Kind.SIGN_IN, client_ip=HOME, account=f"{one}@ada.example")
        for one in range(30)
    ]

    assert allowed(verdicts) == 10


def test_an_ipv6_client_is_his_network():
    verdicts = [
        count_attempt(Kind.SIGN_IN, client_ip=f"2001:db8:1:2::{one:x}", account=f"{one}@x.example")
        for one in range(1, 30)
    ]

    assert allowed(verdicts) == 10
    assert count_attempt(Kind.SIGN_IN, client_ip="2001:db8:1:3::1", account="").allowed


def test_a_guesser_with_a_whole_network_is_slowed_down_too():
    verdicts = [
        count_attempt(Kind.SIGN_IN, client_ip=f"192.0.2.{one}", account=f"{one}@x.example")
        for one in range(80)
    ]

    assert allowed(verdicts) == 60


def test_hundreds_of_strangers_at_one_account_are_ten():
    assert strangers(300, "ada@ada.example") == 10


def test_the_account_grows_slower_the_longer_they_try_but_never_shuts():
    shortest, _ = _of_account(Kind.SIGN_IN, "ada@ada.example")[0]
    admitted = []
    for _ in range(6):
        admitted.append(strangers(20, "ada@ada.example"))
        AttemptTally.objects.filter(key=shortest).delete()  # as a quarter of an hour later

    assert admitted == [10, 10, 10, 10, 0, 0]
    time_goes_by(2)
    assert strangers(1, "ada@ada.example") == 1


def test_the_owner_gets_in_where_he_has_been_before_while_strangers_guess():
    attempt_succeeded(Kind.SIGN_IN, client_ip=HOME, account="ada@ada.example")
    strangers(30, "ada@ada.example")

    at_home = count_attempt(Kind.SIGN_IN, client_ip=HOME, account="Ada@ada.example")
    elsewhere = count_attempt(Kind.SIGN_IN, client_ip=ELSEWHERE, account="ada@ada.example")

    assert at_home.allowed
    assert not elsewhere.allowed
    assert elsewhere.only_account


def test_nobody_is_known_for_good():
    attempt_succeeded(Kind.SIGN_IN, client_ip=HOME, account="ada@ada.example")
    time_goes_by(31)
    strangers(30, "ada@ada.example")

    assert not count_attempt(Kind.SIGN_IN, client_ip=HOME, account="ada@ada.example").allowed


def test_a_success_forgets_what_was_counted_for_the_account():
    strangers(30, "ada@ada.example")

    attempt_succeeded(Kind.SIGN_IN, client_ip=HOME, account="ada@ada.example")

    assert count_attempt(Kind.SIGN_IN, client_ip=ELSEWHERE, account="ada@ada.example").allowed


def test_a_success_at_ones_own_account_is_no_fresh_start_for_guessing():
    guesses = 0
    for _ in range(30):
        guesses += allowed(tries(1, account="ada@ada.example"))
        if allowed(tries(1, account="mallory@mallory.example")):
            attempt_succeeded(Kind.SIGN_IN, client_ip=HOME, account="mallory@mallory.example")

    assert guesses == 10


def test_people_behind_one_address_who_know_their_passwords_are_never_slowed_down():
    for person in range(40):
        assert tries(1, account=f"{person}@office.example")[0].allowed
        attempt_succeeded(Kind.SIGN_IN, client_ip=HOME, account=f"{person}@office.example")


def test_kinds_are_counted_apart():
    tries(20, kind=Kind.SMTP_AUTH)

    assert tries(1, kind=Kind.SIGN_IN)[0].allowed


def test_an_attempt_that_is_refused_makes_nobody_wait_longer():
    tries(10)
    before = sorted(AttemptTally.objects.values_list("count", flat=True))

    tries(50)

    assert sorted(AttemptTally.objects.values_list("count", flat=True)) == before


def test_account_mail_goes_to_an_address_once_in_ten_minutes():
    verdicts = [
        count_attempt(Kind.ACCOUNT_MAIL, client_ip=f"10.0.{one}.1", account="ada@ada.example")
        for one in range(5)
    ]

    assert [verdict.allowed for verdict in verdicts] == [True] + [False] * 4
    assert all(verdict.only_account for verdict in verdicts[1:])


def test_the_table_names_nobody():
    tries(1, account="ada@ada.example")

    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(encode(key, 'escape'), ' ') FROM tenants_attempttally")
        text = cursor.fetchone()[0]

    assert "ada" not in text
    assert "192" not in text
    assert all(len(bytes(key)) == 32 for key in AttemptTally.objects.values_list("key", flat=True))


def test_the_sweep_takes_old_counts_and_leaves_what_counts():
    tries(1, account="ada@ada.example")
    time_goes_by(3)
    tries(1, account="ada@ada.example")
    attempt_succeeded(Kind.SIGN_IN, client_ip=HOME, account="ada@ada.example")
    kept = AttemptTally.objects.count() - 5

    assert sweep_tallies() == 5
    assert AttemptTally.objects.count() == kept


@pytest.mark.parametrize(
    ("count", "gone", "before", "least", "most"),
    [
        (10, 0.0, 0, 0, 0),
        (11, 0.0, 0, 900, 1000),  # into the next window until one has slid out
        (1, 0.5, 10, 0, 0),
        (6, 0.5, 10, 89, 91),  # 5 + 6 > 10: a tenth of the window later 4 + 6 are not
        (1, 0.0, 10, 89, 91),
    ],
)
def test_how_long_to_wait(count, gone, before, least, most):
    wait = seconds_to_wait(Limit(10, 900), count=count, gone=gone, before=before)

    assert least <= wait <= most


@pytest.mark.parametrize("before", [0, 1, 5, 10])
@pytest.mark.parametrize("gone", [0.0, 0.3, 0.999])
def test_after_the_wait_it_is_allowed(before, gone):
    limit = Limit(10, 900)
    for count in range(1, 12):
        wait = seconds_to_wait(limit, count=count, gone=gone, before=before)
        if wait == 0:
            continue
        then = gone + wait / limit.seconds
        again = (count, then, before) if then < 1 else (1, then - 1, count - 1)
        assert seconds_to_wait(limit, count=again[0], gone=again[1], before=again[2]) == 0
        break


def test_every_kind_has_its_limits():
    assert set(LIMITS) == set(Kind)


@pytest.mark.django_db(transaction=True)
def test_a_hundred_attempts_at_once_are_ten():
    verdicts: list[bool] = []

    def work() -> None:
        try:
            for _ in range(5):
                verdict = count_attempt(Kind.SIGN_IN, client_ip=HOME, account="ada@ada.example")
                verdicts.append(verdict.allowed)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(verdicts) == 100
    assert sum(verdicts) == 10
