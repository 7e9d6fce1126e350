"""SPF, DMARC and DKIM records as text: read, compare, and add to what is there.

Nothing here replaces what an owner wrote: a merged SPF record keeps his terms in his order, a DMARC
policy is never made weaker.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

MOST_LOOK_UPS: Final = 10
"""RFC 7208, 4.6.4."""

_LOOKS_UP = re.compile(r"[+?~-]?(?:include:|a(?:[:/]|$)|mx(?:[:/]|$)|ptr(?::|$)|exists:)|redirect=")
_REDIRECT = re.compile(r"redirect=", re.IGNORECASE)
_ALL = re.compile(r"[+?~-]?all", re.IGNORECASE)
_SPF_TERM = re.compile(
    r"[+?~-]?(?:all|include|a|mx|ptr|ip4|ip6|exists)(?:[:/]\S*)?|[a-z][a-z0-9_.-]*=\S*",
    re.IGNORECASE,
)
_STRENGTH: Final = {"none": 0, "quarantine": 1, "reject": 2}
# A permissive result never wins over a strict one when two records become one.
_ALL_STRENGTH: Final = {"+": 0, "?": 1, "~": 2, "-": 3}


def is_spf(text: str) -> bool:
    """RFC 7208, 4.5: the version, then a space or nothing."""
    return re.match(r"v=spf1(?: |$)", text, re.IGNORECASE) is not None


def spf_terms(record: str) -> list[str]:
    return record.split()[1:]


def spf_names_us(record: str, term: str) -> bool:
    """Whether a record already lets us send: our term, or a redirect to the same place."""
    terms = [one.lower().rstrip(".") for one in spf_terms(record)]
    asked = terms[: len(_before_all(terms))]
    handed_over = f"redirect={term.partition(':')[2]}".lower() in terms
    nobody_else = not any(_ALL.fullmatch(one) for one in terms)
    return bool({term.lower(), f"+{term}".lower()} & set(asked)) or (handed_over and nobody_else)


def strange_spf_terms(record: str) -> list[str]:
    """What no receiver can read: the whole record is void then (RFC 7208, 4.6)."""
    return [term for term in spf_terms(record) if not _SPF_TERM.fullmatch(term)]


def merged_spf(records: Sequence[str], term: str) -> str:
    """One record with what these say, and ours before what stands for everybody else.

    Of a single record every term stays where it is. Empty where several cannot be one: a redirect
    hands over to another place as a whole.
    """
    if len(records) == 1:
        terms = spf_terms(records[0])
        place = len(_before_all(terms))
        return " ".join(["v=spf1", *terms[:place], term, *terms[place:]])
    terms = [one for record in records for one in spf_terms(record)]
    if any(_REDIRECT.match(one) for one in terms):
        return ""
    senders = [one for record in records for one in _before_all(spf_terms(record))]
    everybody = [one for one in terms if _ALL.fullmatch(one)]
    ours = () if term.lower() in map(str.lower, senders) else (term,)
    return " ".join(["v=spf1", *dict.fromkeys(senders), *ours, _strictest(everybody)])


def spf_look_ups(record: str) -> int:
    """How many terms of this record make receivers ask further; those behind them not counted."""
    return sum(_LOOKS_UP.match(term.lower()) is not None for term in spf_terms(record))


def _before_all(terms: Iterable[str]) -> list[str]:
    """The terms that are asked one by one; what stands behind `all` never is (RFC 7208, 5.1)."""
    kept = []
    for term in terms:
        if _ALL.fullmatch(term) or _REDIRECT.match(term):
            break
        kept.append(term)
    return kept


def _strictest(everybody: Sequence[str]) -> str:
    if not everybody:
        return "~all"
    return max(everybody, key=lambda term: _ALL_STRENGTH.get(term[0], 0))


def is_dmarc(text: str) -> bool:
    """RFC 9989, 4.7: the version comes first."""
    return re.match(r"v\s*=\s*DMARC1\s*(?:;|$)", text) is not None


def tags_of(text: str) -> dict[str, str]:
    """`tag=value; …` with lower-case tags; of two with one name the first."""
    tags: dict[str, str] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip())
    return tags


def dmarc_policy(record: str) -> str:
    """none, quarantine or reject; empty for a record that says none of them."""
    policy = tags_of(record).get("p", "").lower()
    return policy if policy in _STRENGTH else ""


def strictest_dmarc(records: Sequence[str]) -> str:
    """The record to keep where there are several."""
    return max(records, key=lambda record: _STRENGTH.get(dmarc_policy(record), -1))


def with_policy(record: str, policy: str) -> str:
    """The record with a policy of this name where readers look for it, all else kept."""
    kept = [part.strip() for part in record.split(";")[1:]]
    others = [part for part in kept if part and part.partition("=")[0].strip().lower() != "p"]
    return "; ".join(["v=DMARC1", f"p={policy}", *others])


def key_difference(there: str, wanted: str) -> str:
    """How a key record differs from ours, in words; empty where it works as it is."""
    have, want = tags_of(there), tags_of(wanted)
    if have.get("v", "DKIM1") != "DKIM1":
        return "it does not begin with v=DKIM1"
    if have.get("k", "rsa") != want.get("k", "rsa"):
        return f"it says it is a key of type {have.get('k', 'rsa')}, not {want['k']}"
    if "p" not in have:
        return "it holds no key (no p=)"
    return _octets_differ(have["p"], want["p"]) or _narrowed(have)


def _octets_differ(have: str, want: str) -> str:
    bare = re.sub(r"\s", "", have)
    if bare == want:
        return ""
    if not bare:
        return "its p= is empty, which tells receivers that the key was revoked"
    if want.startswith(bare):
        return f"the key is cut short: {len(bare)} of its {len(want)} characters are there"
    if re.sub(r'["\\]', "", bare) == want:
        return "quotation marks or backslashes stand inside the key"
    return "it is another key"


def _narrowed(have: dict[str, str]) -> str:
    """Tags that keep a right key from being used for our mail (RFC 6376, 3.6.1)."""
    hashes = [one.strip() for one in have.get("h", "sha256").split(":")]
    if "sha256" not in hashes:
        return "its h= does not allow SHA-256"
    services = [one.strip() for one in have.get("s", "*").split(":")]
    if not {"*", "email"} & set(services):
        return "its s= does not allow e-mail"
    return ""
