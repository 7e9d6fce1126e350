"""Writing to strangers on a tenant's behalf: how often, over all tenants, and never again.

A table of keyed digests counts: whoever reads it learns no address. One mail a day; in all three
that ask for consent to forwarding, ten that invite and are not answered. Who answers "not me" is
never written to again, for whatever purpose.
"""

import hashlib
import hmac
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final

from django.db import connection, transaction

from mail.address import split_path
from tenants.context import public_schema
from tenants.lasting import lasting_key
from tenants.models import ContactedAddress

MOST_ASKED: Final = 3
MOST_INVITED: Final = 10
ASKED_EVERY_HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class Contact:
    """What we know of an address that we wrote to, for whichever tenant."""

    asked: int = 0
    last_asked_at: datetime | None = None
    blocked_at: datetime | None = None


class Purpose(Enum):
    """What a mail to a stranger is for; each is counted by itself."""

    CONSENT = "contacted addresses"
    INVITATION = "invited addresses"


_MOST: Final = {Purpose.CONSENT: MOST_ASKED, Purpose.INVITATION: MOST_INVITED}

_DOTS_DO_NOT_COUNT: Final = frozenset({"gmail.com", "googlemail.com"})
_ASK = """
INSERT INTO public.tenants_contactedaddress AS seen (digest, asked, last_asked_at)
VALUES (%(digest)s, 1, clock_timestamp())
ON CONFLICT (digest) DO UPDATE SET asked = seen.asked + 1, last_asked_at = clock_timestamp()
WHERE seen.blocked_at IS NULL AND seen.asked < %(most)s
  AND seen.last_asked_at <= clock_timestamp() - make_interval(hours => %(hours)s)
RETURNING asked
"""
_BLOCK = """
INSERT INTO public.tenants_contactedaddress AS seen (digest, asked, blocked_at)
VALUES (%(digest)s, 0, clock_timestamp())
ON CONFLICT (digest) DO UPDATE SET blocked_at = coalesce(seen.blocked_at, clock_timestamp())
"""


def take_turn(address: str, purpose: Purpose = Purpose.CONSENT) -> bool:
    """Whether the address may be written to now; the turn is taken in the current transaction.

    Callers with several addresses take turns in sorted order: two of them wait for each other
    otherwise.
    """
    if purpose is not Purpose.CONSENT and is_blocked(address):
        return False
    with connection.cursor() as cursor:
        cursor.execute(
            _ASK,
            {
                "digest": _digest(address, purpose),
                "most": _MOST[purpose],
                "hours": ASKED_EVERY_HOURS,
            },
        )
        return cursor.fetchone() is not None


def was_answered(address: str, purpose: Purpose) -> None:
    """Count the mails of this purpose from the beginning: its owner said yes."""
    with public_schema():
        rows = ContactedAddress.objects.filter(digest=_digest(address, purpose))
        rows.update(asked=0)


def block(address: str) -> None:
    """Never write to the address again, for no tenant."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_BLOCK, {"digest": _digest(address)})


def is_blocked(address: str) -> bool:
    """Whether the address's owner wants nothing from us."""
    with public_schema():
        rows = ContactedAddress.objects.filter(digest=_digest(address), blocked_at__isnull=False)
        return rows.exists()


def contact_with(address: str, purpose: Purpose = Purpose.CONSENT) -> Contact:
    """How often the address was asked, over all tenants; for support."""
    with public_schema():
        rows = ContactedAddress.objects.filter(digest=_digest(address, purpose))
        row = rows.values_list("asked", "last_asked_at", "blocked_at").first()
    return Contact(*row) if row else Contact()


def _digest(address: str, purpose: Purpose = Purpose.CONSENT) -> bytes:
    key = lasting_key(purpose.value)
    return hmac.digest(key, _mailbox(address).encode(), hashlib.sha256)


def _mailbox(address: str) -> str:
    """One name for spellings that reach one person: case, +tags, dots that Gmail ignores."""
    local_part, domain = split_path(address)
    domain = domain.lower()
    name = unicodedata.normalize("NFC", local_part).casefold()
    name = name.split("+", 1)[0] or name
    if domain in _DOTS_DO_NOT_COUNT:
        name, domain = name.replace(".", ""), "gmail.com"
    return f"{name}@{domain}"
