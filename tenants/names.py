"""Names of tenants: what a person types (slug) and what the database uses (schema, by id)."""

import re
import unicodedata
from typing import Final

from tenants.errors import BadSlug, TenancyError

MAX_SLUG_CHARACTERS: Final = 40

_SLUG = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?", re.ASCII).fullmatch
_LOOKS_LIKE_A_SCHEMA = re.compile(r"t[0-9]+", re.ASCII).fullmatch
_NOT_IN_A_LINE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
RESERVED: Final = frozenset(
    {
        *(
            "public",
            "information-schema",
            "pg",
            "postgres",
            "system",
            "service",
            "platform",
            "mxax",
        ),
        *("admin", "root", "operator", "support", "staff", "postmaster", "abuse", "hostmaster"),
        *("api", "static", "media", "healthz", "readyz", "login", "logout", "new", "none", "null"),
    }
)


def check_slug(text: str) -> str:
    """The slug, unchanged. Raises `BadSlug` with what is wrong.

    It stands in URLs and before the dot of a credential, so it has neither dots nor underscores;
    the schema never comes from it.
    """
    if len(text) > MAX_SLUG_CHARACTERS:
        raise BadSlug(f"A slug has at most {MAX_SLUG_CHARACTERS} characters.")
    if not _SLUG(text) or "--" in text:
        raise BadSlug(
            "A slug is made of lower-case letters, digits and single hyphens, and starts with a "
            "letter (for example `acme` or `two-friends`)."
        )
    if text in RESERVED or text.startswith("pg-") or _LOOKS_LIKE_A_SCHEMA(text):
        raise BadSlug(f"The slug `{text}` is reserved: choose another.")
    return text


def one_line(text: str, what: str) -> str:
    """Free text as it is kept, without space at its ends. Raises `TenancyError` for line breaks.

    Such text ends in audits, logs and pages, and one day in a header field.
    """
    text = text.strip()
    if any(unicodedata.category(character) in _NOT_IN_A_LINE for character in text):
        raise TenancyError(f"The {what} is one line: take line breaks and control characters out.")
    return text


def schema_name_of(tenant_id: int) -> str:
    """The schema of a tenant. Only ever made from a whole number above 0."""
    if isinstance(tenant_id, bool) or not isinstance(tenant_id, int) or tenant_id < 1:
        raise ValueError("a tenant id is a whole number above 0")
    return f"t{tenant_id}"
