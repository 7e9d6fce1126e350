"""DKIM-Signature, ARC-Message-Signature and ARC-Seal as values (RFC 6376, 3.5; RFC 8617, 4.1).

The three share their tags: a `Signature` is any of them, read and checked without a look at the
DNS, the body or the clock. What cannot be used raises `Unusable` with the verdict.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

import idna

from mail.address import canonical_domain, is_within
from mail.authentication.canonical import BodyForm, Form
from mail.authentication.findings import Unusable
from mail.authentication.key_records import KeyType
from mail.authentication.tags import Tags, decoded_base64, listed, unspaced
from mail.authentication.values import DkimResult
from mail.errors import BadDomain
from mail.message import Field

MAX_NAMES: Final = 1000
_DIGEST_OCTETS: Final = 32
_START: Final = 8  # RFC 6008, 4: so many characters of b= tell signatures apart
_MAX_IDENTITY: Final = 320
# With underscores, which no host name has but which people use, and at least two labels.
_LABEL = r"(?!xn--)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})+").fullmatch
_SELECTOR = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*").fullmatch
_DIGITS = re.compile(rb"[0-9]{1,20}").fullmatch
_UNSHOWN = re.compile(rb"[^!-~]")
_QUOTED = re.compile(rb"=([0-9A-F]{2})")


class Kind(Enum):
    """Which field it is, with the tags that it must have."""

    DKIM = (b"v", b"a", b"b", b"bh", b"d", b"h", b"s")
    ARC_MESSAGE = (b"i", b"a", b"b", b"bh", b"d", b"h", b"s")
    ARC_SEAL = (b"i", b"a", b"b", b"cv", b"d", b"s")


class Algorithm(Enum):
    """The values of a= that we verify; each takes keys of one kind."""

    RSA_SHA256 = b"rsa-sha256"
    ED25519_SHA256 = b"ed25519-sha256"

    @property
    def key_type(self) -> KeyType:
        return KeyType.RSA if self is Algorithm.RSA_SHA256 else KeyType.ED25519


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature, ready to be verified. Times are seconds since 1970.

    `names` is h= in lower case. A seal has no names, no body and relaxed fields.
    """

    field: Field
    value: tuple[int, int]
    """Where b= stands in the body of the field."""
    algorithm: Algorithm
    domain: str
    selector: str
    signature: bytes
    header_form: Form = Form.RELAXED
    names: tuple[bytes, ...] = ()
    body: BodyForm | None = None
    body_hash: bytes = b""
    identity: str = ""
    identity_domain: str = ""
    signed_at: int | None = None
    expires_at: int | None = None

    @property
    def key_name(self) -> str:
        """Where its key is published (RFC 6376, 3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"


@dataclass(frozen=True, slots=True)
class Description:
    """What a signature says of itself, as far as it can be read; for those that are no use."""

    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    signature_start: str = ""


def read_signature(field: Field, tags: Tags, kind: Kind) -> Signature:
    """The signature in a field. Raises `Unusable`."""
    for name in kind.value:
        if name not in tags:
            raise Unusable(f"{name.decode()}= is missing")
    algorithm = _algorithm(tags)
    domain = domain_of(tags)
    selector = selector_of(tags)
    signature = decoded_base64(tags.get(b"b") or b"")
    if not signature:
        raise Unusable("b= is empty")
    if kind is Kind.ARC_SEAL:
        return Signature(field, tags.span(b"b"), algorithm, domain, selector, signature)
    signed_at, expires_at = _times(tags)
    header_form, body_form = _forms(tags)
    identity, identity_domain = (
        ("", domain) if kind is Kind.ARC_MESSAGE else _identity(tags, domain)
    )
    return Signature(
        field,
        tags.span(b"b"),
        algorithm,
        domain,
        selector,
        signature,
        header_form,
        _names(tags),
        BodyForm(body_form, _limit(tags)),
        _body_hash(tags),
        identity,
        identity_domain,
        signed_at,
        expires_at,
    )


def describe(tags: Tags) -> Description:
    """What can be said of a signature, whether it is one or not."""
    domain = _or_nothing(domain_of, tags)
    return Description(
        domain,
        _or_nothing(selector_of, tags),
        _or_nothing(lambda given: _identity(given, domain)[0], tags) if domain else "",
        _shown(tags.get(b"a") or b"", 32),
        _shown(unspaced((tags.get(b"b") or b"")[:100]), _START),
    )


def _or_nothing(read: Callable[[Tags], str], tags: Tags) -> str:
    try:
        return read(tags)
    except Unusable:
        return ""


def _shown(value: bytes, limit: int) -> str:
    """Printable ASCII without white space, cut."""
    return _UNSHOWN.sub(b"?", value[:limit]).decode()


def domain_of(tags: Tags) -> str:
    """d= as A-label in lower case (RFC 8616, 4). Raises `Unusable`."""
    return _domain(tags.get(b"d") or b"")


@lru_cache(maxsize=4096)
def _domain(value: bytes) -> str:
    plain = value.lower().decode("utf-8", "surrogateescape")
    if _DOMAIN(plain):
        return plain
    try:
        domain = canonical_domain(plain)
    except BadDomain:
        domain = ""
    if "." not in domain or plain.endswith("."):
        raise Unusable("d= is no domain")
    return domain


def selector_of(tags: Tags) -> str:
    """s= as A-labels in lower case. Raises `Unusable`."""
    return _selector(tags.get(b"s") or b"")


@lru_cache(maxsize=4096)
def _selector(value: bytes) -> str:
    plain = value.lower().decode("utf-8", "surrogateescape")
    if _SELECTOR(plain):
        return plain
    if not 0 < len(plain) <= 253:
        raise Unusable("s= is no selector")
    try:
        return idna.encode(plain, uts46=True).decode("ascii")
    except (UnicodeError, ValueError, IndexError):  # idna promises IDNAError alone
        raise Unusable("s= is no selector") from None


def _algorithm(tags: Tags) -> Algorithm:
    name = (tags.get(b"a") or b"").lower()
    if name == b"rsa-sha1":
        raise Unusable("SHA-1 is not accepted", DkimResult.POLICY)  # RFC 8301, 3.1
    try:
        return Algorithm(name)
    except ValueError:
        raise Unusable("a= is an unknown algorithm", DkimResult.NEUTRAL) from None


def _forms(tags: Tags) -> tuple[Form, Form]:
    header, slash, body = (tags.get(b"c") or b"simple").lower().partition(b"/")
    try:
        return Form(header), Form(body if slash else b"simple")
    except ValueError:
        raise Unusable("c= is an unknown canonicalisation") from None


def _names(tags: Tags) -> tuple[bytes, ...]:
    value = tags.get(b"h") or b""
    if value.count(b":") >= MAX_NAMES:
        raise Unusable("h= names too many fields")
    names = listed(value)
    if b"" in names:
        raise Unusable("h= has an empty name")
    if b"from" not in names:
        raise Unusable("h= does not name From")  # RFC 6376, 5.4
    return names


def _body_hash(tags: Tags) -> bytes:
    digest = decoded_base64(tags.get(b"bh") or b"")
    if len(digest) != _DIGEST_OCTETS:
        raise Unusable("bh= is no SHA-256 digest")
    return digest


def _limit(tags: Tags) -> int | None:
    return _number(tags, b"l")


def _times(tags: Tags) -> tuple[int | None, int | None]:
    signed_at, expires_at = _number(tags, b"t"), _number(tags, b"x")
    if signed_at is not None and expires_at is not None and expires_at <= signed_at:
        raise Unusable("x= is not after t=")
    return signed_at, expires_at


def _number(tags: Tags, name: bytes) -> int | None:
    value = tags.get(name)
    if value is None:
        return None
    if not _DIGITS(value):
        raise Unusable(f"{name.decode()}= is no number")
    return int(value)


def _identity(tags: Tags, domain: str) -> tuple[str, str]:
    """i= for people, and its domain (RFC 6376, 3.5), which must be that of d= or below."""
    value = tags.get(b"i")
    if value is None:
        return f"@{domain}", domain
    plain = _QUOTED.sub(lambda found: bytes.fromhex(found[1].decode()), unspaced(value))
    local_part, at, host = plain.rpartition(b"@")
    if not at:
        raise Unusable("i= is no identity")
    try:
        below = _domain(host)
    except Unusable:
        raise Unusable("i= has no domain") from None
    if not is_within(below, domain):
        raise Unusable("i= is not within d=")
    return _shown(local_part, _MAX_IDENTITY) + "@" + below, below


def check_dkim(tags: Tags) -> None:
    """The tags that only a DKIM-Signature has: v= and q=. Raises `Unusable`."""
    if tags.get(b"v") != b"1":
        raise Unusable("v= is not 1")
    if b"q" in tags and b"dns/txt" not in listed(tags.get(b"q") or b""):
        raise Unusable("q= is an unknown way to get keys")
