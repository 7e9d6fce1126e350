"""One limiter for all that can be tried too often: signing in, codes, mail that strangers ask for.

    count_attempt(kind, client_ip, account)   before the work   ->  Verdict
    attempt_succeeded(...)                    after it went well

| counted for | why |
|---|---|
| the client (an IPv4 address, an IPv6 /64) | one guesser |
| its wider network (/24, /48) | one guesser with many addresses |
| the account, over 15 minutes, 3 hours and a day | many guessers: slower the longer they try |

An attempt is counted before the work, so that a hundred at once are not all the first. One that is
refused counts nowhere: whoever waits gets on, and nobody holds an account shut by knocking. A
success gives the client his attempt back, forgets what was counted for the account, and makes the
client one from which the account has been entered: for 30 days he is not slowed down by others who
try that account. So the owner gets in while a thousand strangers guess.

Each count slides over its window: what the window before had counts for the part of it that is
still inside. Keys are keyed digests; the table tells nobody who tried to sign in where.
"""

import hashlib
import hmac
import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from django.db import connection, transaction

from tenants.clients import network_of
from tenants.context import public_schema
from tenants.vault import derived_key


class Kind(StrEnum):
    """What is tried; each is counted for itself."""

    SIGN_IN = "sign-in"
    SECOND_FACTOR = "second factor"
    CONFIRM = "confirm"
    """Proving again who one is, inside a session."""
    ACCOUNT_MAIL = "account mail"
    """Mail that anybody can ask for: reset, sign-up, a new address."""
    KEPT_FORM = "kept form"
    """A form of somebody not signed in, whose values wait in a session."""
    NEW_TENANT = "new tenant"
    """A tenant of one's own: each costs a schema, also one that is deleted at once."""
    TENANT_SLUG = "tenant slug"
    """A slug for it: the answer tells whether somebody has it."""
    HEAVY_WORK = "heavy work"
    """Exports, imports and checks that take long; the account is a tenant."""
    API = "api"
    SMTP_AUTH = "smtp auth"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `attempts` in any `seconds`."""

    attempts: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for a kind; guesses of a client and his wider network have 15 minutes."""

    client: Limit
    network: Limit
    account: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it may be tried; otherwise in how many seconds, at least one."""

    allowed: bool
    retry_after_seconds: int = 0
    only_account: bool = False
    """The account alone is why: who may not learn of accounts is not told."""


QUARTER: Final = 15 * 60
DAY: Final = 24 * 3600
KNOWN_DAYS: Final = 30
KEPT_SECONDS: Final = 2 * DAY
"""Counts older than this matter to nobody."""

_GUESSES: Final = Limits(
    client=Limit(10, QUARTER),
    network=Limit(60, QUARTER),
    account=(Limit(10, QUARTER), Limit(40, 3 * 3600), Limit(100, DAY)),
)
LIMITS: Final = dict.fromkeys(Kind, _GUESSES) | {
    Kind.ACCOUNT_MAIL: Limits(
        client=Limit(10, QUARTER),
        network=Limit(60, QUARTER),
        account=(Limit(1, 600), Limit(5, DAY)),
    ),
    Kind.NEW_TENANT: Limits(
        client=Limit(60, DAY), network=Limit(200, DAY), account=(Limit(10, DAY),)
    ),
    Kind.HEAVY_WORK: Limits(
        client=Limit(60, QUARTER),
        network=Limit(200, QUARTER),
        account=(Limit(60, QUARTER), Limit(600, DAY)),
    ),
}

# Counts, and tells how far the window has gone (0 to 1) and what the one before had.
_COUNT: Final = """
WITH clock AS (
    SELECT extract(epoch FROM clock_timestamp())::float8 / %(seconds)s AS windows
), slot AS (
    SELECT to_timestamp(floor(windows) * %(seconds)s) AS starts, windows - floor(windows) AS gone
    FROM clock
)
INSERT INTO public.tenants_attempttally AS tally (key, "window", count)
SELECT %(key)s, starts, 1 FROM slot
ON CONFLICT (key, "window") DO UPDATE SET count = tally.count + 1
RETURNING count, (SELECT gone FROM slot), coalesce((
    SELECT earlier.count FROM public.tenants_attempttally earlier, slot
    WHERE earlier.key = %(key)s
      AND earlier."window" = slot.starts - make_interval(secs => %(seconds)s)
), 0)
"""
_LOOK: Final = """
WITH clock AS (
    SELECT extract(epoch FROM clock_timestamp())::float8 / %(seconds)s AS windows
), slot AS (
    SELECT to_timestamp(floor(windows) * %(seconds)s) AS starts, windows - floor(windows) AS gone
    FROM clock
)
SELECT coalesce(sum(tally.count) FILTER (WHERE tally."window" = slot.starts), 0)::int, slot.gone,
       coalesce(sum(tally.count) FILTER (WHERE tally."window" < slot.starts), 0)::int
FROM slot LEFT JOIN public.tenants_attempttally tally
     ON tally.key = %(key)s AND tally."window" <= slot.starts
    AND tally."window" >= slot.starts - make_interval(secs => %(seconds)s)
GROUP BY slot.gone
"""
_GIVE_BACK: Final = """
UPDATE public.tenants_attempttally SET count = count - 1
WHERE key = %(key)s AND count > 0 AND "window" = (
    SELECT max("window") FROM public.tenants_attempttally WHERE key = %(key)s AND count > 0)
"""
_FORGET: Final = "UPDATE public.tenants_attempttally SET count = 0 WHERE key = %(key)s"
# The window of a known client is the end of his being known: never more than one row that counts.
_KNOW: Final = """
INSERT INTO public.tenants_attempttally (key, "window", count)
VALUES (%(key)s, date_trunc('day', clock_timestamp()) + make_interval(days => %(days)s), 1)
ON CONFLICT (key, "window") DO NOTHING
"""
_IS_KNOWN: Final = """
SELECT EXISTS (SELECT 1 FROM public.tenants_attempttally
WHERE key = %(key)s AND "window" > clock_timestamp())
"""


def count_attempt(kind: Kind, *, client_ip: str | None, account: str) -> Verdict:
    """Count an attempt and judge it; of its own transaction, committed before the work begins.

    `account` is what was typed, whether there is such an account or not; "" for none. Raises
    DatabaseError where the database is away: then nothing is tried.
    """
    places = _of_client(kind, client_ip)
    with public_schema(), transaction.atomic():
        if account and not _is_known(kind, client_ip, account):
            places += _of_account(kind, account)
        waits = [_count(key, limit) for key, limit in places]
        if any(waits):
            transaction.set_rollback(True)  # a refused attempt counts nowhere
    return Verdict(
        allowed=not any(waits),
        retry_after_seconds=max(waits),
        only_account=any(waits) and not any(waits[:2]),
    )


def attempt_succeeded(kind: Kind, *, client_ip: str | None, account: str) -> None:
    """Give the attempt back, forget the account's, and know this client of it from now on."""
    with public_schema(), transaction.atomic():
        # In the order in which attempts lock them.
        with connection.cursor() as cursor:
            for key, _ in _of_client(kind, client_ip):
                cursor.execute(_GIVE_BACK, {"key": key})
        know_client(kind, client_ip=client_ip, account=account)


def know_client(kind: Kind, *, client_ip: str | None, account: str) -> None:
    """The same without an attempt: the person has proved in another way whose account it is."""
    with public_schema(), transaction.atomic(), connection.cursor() as cursor:
        for key, _ in _of_account(kind, account):
            cursor.execute(_FORGET, {"key": key})
        cursor.execute(_KNOW, {"key": _known_key(kind, client_ip, account), "days": KNOWN_DAYS})


def account_wait_seconds(kind: Kind, *, account: str) -> int:
    """How long an account is shut to clients that it does not know, 0 if it is not. Counts nothing.

    For whoever may know of accounts: support, not the person who tries.
    """
    with public_schema():
        return max(_look(key, limit) for key, limit in _of_account(kind, account))


def forget_attempts(kind: Kind, *, account: str) -> None:
    """Open an account again to everybody who knows its password."""
    with public_schema(), transaction.atomic(), connection.cursor() as cursor:
        for key, _ in _of_account(kind, account):
            cursor.execute(_FORGET, {"key": key})


def sweep_tallies() -> int:
    """Delete counts that matter to nobody any more; gives their number."""
    with public_schema(), connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM public.tenants_attempttally"
            ' WHERE "window" < clock_timestamp() - make_interval(secs => %s)',
            [KEPT_SECONDS],
        )
        return int(cursor.rowcount)


def _count(key: bytes, limit: Limit) -> int:
    """Count; gives the seconds to wait, 0 where the attempt may be made."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {"key": key, "seconds": limit.seconds})
        count, gone, before = cursor.fetchone()
    return seconds_to_wait(limit, count=count, gone=gone, before=before)


def _look(key: bytes, limit: Limit) -> int:
    """The seconds that one attempt more would have to wait."""
    with connection.cursor() as cursor:
        cursor.execute(_LOOK, {"key": key, "seconds": limit.seconds})
        count, gone, before = cursor.fetchone()
    return seconds_to_wait(limit, count=count + 1, gone=gone, before=before)


def seconds_to_wait(limit: Limit, *, count: int, gone: float, before: int) -> int:
    """0 where `count` attempts in this window, of which this is one, are not too many.

    `gone` is the part of the window that has gone by, `before` what the window before it had.
    """
    if before * (1 - gone) + count <= limit.attempts:
        return 0
    if count <= limit.attempts:
        # Some time in this window enough of the one before will have slid out.
        until = 1 - (limit.attempts - count) / before
    else:
        # In the next one, whose window before is this one without the attempt just refused.
        until = 2 - (limit.attempts - 1) / (count - 1)
    return max(1, math.ceil((until - gone) * limit.seconds))


def _is_known(kind: Kind, client_ip: str | None, account: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_IS_KNOWN, {"key": _known_key(kind, client_ip, account)})
        return bool(cursor.fetchone()[0])


def _of_client(kind: Kind, client_ip: str | None) -> list[tuple[bytes, Limit]]:
    wider = network_of(client_ip, ipv4_bits=24, ipv6_bits=48)
    return [
        (_key(kind, "client", network_of(client_ip)), LIMITS[kind].client),
        (_key(kind, "network", wider), LIMITS[kind].network),
    ]


def _of_account(kind: Kind, account: str) -> list[tuple[bytes, Limit]]:
    return [
        (_key(kind, f"account {limit.seconds}", _same(account)), limit)
        for limit in LIMITS[kind].account
    ]


def _known_key(kind: Kind, client_ip: str | None, account: str) -> bytes:
    return _key(kind, "known", f"{network_of(client_ip)} {_same(account)}")


def _same(account: str) -> str:
    return account.strip().casefold()


def _key(kind: Kind, what: str, name: str) -> bytes:
    # The key follows the data key: counts that are forgotten with it cost nothing.
    text = f"{kind}\0{what}\0{name}".encode(errors="surrogatepass")
    return hmac.digest(derived_key("attempts"), text, hashlib.sha256)
