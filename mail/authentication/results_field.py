"""The Authentication-Results field (RFC 8601): ours, written; those of others, read.

    write_results    `Authentication` -> the value      the edge, before the content is kept
    results_field    `Authentication` -> the field      the same, with name and line end
    read_results     value -> `Results`                 what a sealer says he saw (RFC 8617, 4.1.1)

Domains, selectors, HELO and reverse-path are strangers' octets. Of them only letters, digits and a
few signs that mean nothing are written; no "=", ";", quote, bracket or line end of theirs is left,
so that not even a reader which splits at ";" or searches for "dmarc=pass" is misled.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mail.authentication.values import (
    ArcResult,
    ArcVerdict,
    Authentication,
    ClientName,
    DkimResult,
    DkimSignature,
    DmarcPolicy,
    DmarcResult,
    DmarcVerdict,
    SpfCheck,
    SpfResult,
)
from mail.mailboxes import without_comments

FIELD_NAME: Final = "Authentication-Results"
MAX_OCTETS: Final = 2_000
MAX_SIGNATURES: Final = 15
_MAX_ROW: Final = 78
_MAX_REASON: Final = 60
_MAX_NAME: Final = 253
_MAX_READ: Final = 16_384
_MAX_METHODS: Final = 100

_FOLD: Final = "\r\n\t"
_PLAIN = re.compile(r"[A-Za-z0-9._-]++", re.ASCII).fullmatch
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9.:_\[\]-]", re.ASCII)
_NOT_IN_TAG = re.compile(r"[^A-Za-z0-9+/-]", re.ASCII)
_NOT_IN_REASON = re.compile(r"[^A-Za-z0-9 .,:/_+@'-]", re.ASCII)
_LOCAL_PART = re.compile(r"[A-Za-z0-9._+-]{1,64}", re.ASCII).fullmatch
_UTF8_LOCAL_PART = re.compile(r"[\w.+-]{1,64}").fullmatch
_READABLE = str.maketrans({"=": ":", '"': "'", ";": ","})

# Possessive only where one character repeats (see mail/mailboxes.py).
_QUOTED = r'"[^"\\]*+(?>(?:\\.[^"\\]*+)*)"'
_SEGMENTS = re.compile(rf'{_QUOTED}|[^";]++|;|"', re.DOTALL)
_KEYWORD = r"[A-Za-z][A-Za-z0-9-]*+"
_METHOD = re.compile(rf"\s*+({_KEYWORD})(?:\s*+/\s*+[0-9]++)?\s*+=\s*+({_KEYWORD})(?=\s|$)")
_PROPERTY = re.compile(
    rf"\s++(?:({_KEYWORD})\s*+\.\s*+)?([A-Za-z][\w-]*+)\s*+=\s*+"
    rf'({_QUOTED})?(?:(?<=")(?=\s|$)|([^\s"]++)(?=\s|$))',
    re.DOTALL,
)
_WORD = re.compile(rf'\s*+(?:{_QUOTED}|[^\s"]++|")?')
_INSTANCE = re.compile(r"\s*+i\s*+=\s*+[0-9]++\s*+", re.IGNORECASE)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def results_field(
    authentication: Authentication,
    *,
    authserv_id: str,
    utf8: bool = False,
    disposition: DmarcPolicy | None = None,
) -> str:
    """Our Authentication-Results field, folded and CRLF-ended; see `write_results`."""
    value = write_results(
        authentication, authserv_id=authserv_id, utf8=utf8, disposition=disposition
    )
    return f"{FIELD_NAME}: {value}\r\n"


def write_results(
    authentication: Authentication,
    *,
    authserv_id: str,
    utf8: bool = False,
    disposition: DmarcPolicy | None = None,
) -> str:
    """The value of our field, folded, at most 2,000 octets; signatures that passed go first.

    ASCII, unless `utf8` lets a local part through (RFC 6532). `disposition` is what the policy of
    the recipient's tenant made of a DMARC failure.
    """
    ip, arc, dmarc = authentication.client_ip, authentication.arc, authentication.dmarc
    before = [
        *_client_name(authentication.client_name, ip),
        *_spf(authentication, utf8),
    ]
    after = [_arc(arc, ip), _dmarc(dmarc, disposition)]
    lead = _name(authserv_id)
    room = MAX_OCTETS - _octets(lead) - sum(map(_octets, before + after))
    rows = [lead, *before, *_dkim(authentication.dkim, utf8, room), *after]
    return f";{_FOLD}".join(rows)


def _octets(row: str) -> int:
    return len(row.encode()) + len(f";{_FOLD}")


def _row(*parts: str) -> str:
    """The parts of one result in lines of at most 78 characters where they can be."""
    lines = [parts[0]]
    for part in parts[1:]:
        if not part:
            continue
        if len(lines[-1]) + len(part) + 3 > _MAX_ROW:  # a tab, a space and ";"
            lines.append(part)
        else:
            lines[-1] += f" {part}"
    return _FOLD.join(lines)


def _client_name(client: ClientName, ip: str) -> list[str]:
    return [_row(f"iprev={client.result.value}", _property("policy.iprev", ip))] if ip else []


def _spf(found: Authentication, utf8: bool) -> list[str]:
    """One result for each identity; a null reverse-path has only that of HELO (RFC 7208, 2.4)."""
    helo = _property("smtp.helo", found.spf.helo.domain or found.helo)
    if not found.reverse_path:
        return [_spf_row(found.spf.mail_from, helo)]
    rows = [_spf_row(found.spf.mail_from, f"smtp.mailfrom={_mailbox(found.reverse_path, utf8)}")]
    if found.spf.helo.result is not SpfResult.NONE:
        rows.append(_spf_row(found.spf.helo, helo))
    return rows


def _spf_row(check: SpfCheck, identity: str) -> str:
    good = check.result in (SpfResult.PASS, SpfResult.NONE)
    return _row(f"spf={check.result.value}", "" if good else _reason(check.reason), identity)


def _dkim(signatures: Sequence[DkimSignature], utf8: bool, room: int) -> list[str]:
    """A result for each signature as far as there is room, the passed ones served first."""
    if not signatures:
        return ["dkim=none"]
    order = sorted(range(len(signatures)), key=lambda index: not signatures[index].passed)
    chosen: dict[int, str] = {}
    for index in order[:MAX_SIGNATURES]:
        row = _dkim_row(signatures[index], utf8)
        if _octets(row) <= room:
            room -= _octets(row)
            chosen[index] = row
    return [chosen[index] for index in sorted(chosen)] or ["dkim=none"]


def _dkim_row(signature: DkimSignature, utf8: bool) -> str:
    result, reason = signature.result, signature.reason
    if signature.is_testing and signature.passed:  # RFC 6376, 3.6.1: to count as unsigned
        result, reason = DkimResult.POLICY, "the key is being tested"
    identity = signature.identity
    ours = identity and identity != f"@{signature.domain}"
    start = _NOT_IN_TAG.sub("", signature.signature_start[:8])
    return _row(
        f"dkim={result.value}",
        "" if result is DkimResult.PASS else _reason(reason),
        _property("header.d", signature.domain),
        _property("header.s", signature.selector),
        f"header.a={algorithm}" if (algorithm := _algorithm(signature.algorithm)) else "",
        f"header.i={_mailbox(identity, utf8, at='@')}" if ours else "",
        f'header.b="{start}"' if start else "",  # last: authres reads no quoted one before another
    )


def _algorithm(text: str) -> str:
    return text if _PLAIN(text) and len(text) < 32 else ""


def _arc(verdict: ArcVerdict, ip: str) -> str:
    """The chain as we found it, and for the next who looks whence it came (RFC 8617, 10.1)."""
    good = verdict.result in (ArcResult.PASS, ArcResult.NONE)
    return _row(
        f"arc={verdict.result.value}",
        "" if good else _reason(verdict.reason),
        _property("smtp.remote-ip", ip),
    )


def _dmarc(verdict: DmarcVerdict, disposition: DmarcPolicy | None) -> str:
    """RFC 9989 has `policy.dmarc`; the comment is what programs read before it."""
    judged = verdict.result in (DmarcResult.PASS, DmarcResult.FAIL)
    done = f" dis={disposition.value}" if disposition else ""
    return _row(
        f"dmarc={verdict.result.value}",
        f"(p={verdict.policy.value}{done})" if judged else "",
        "" if verdict.result is DmarcResult.PASS else _reason(verdict.reason),
        _property("header.from", verdict.author_domain),
        f"policy.dmarc={verdict.policy.value}" if judged else "",
    )


def _property(name: str, value: str) -> str:
    return f"{name}={_name(value)}" if value else ""


def _name(text: str) -> str:
    """A domain, selector or address as it is if harmless, else quoted with "?" for the rest."""
    text = text[:_MAX_NAME]
    return text if _PLAIN(text) else f'"{_NOT_IN_NAME.sub("?", text)}"'


def _mailbox(path: str, utf8: bool, at: str = "") -> str:
    """The path, or (with `at` before it) its domain alone where the local part is not harmless."""
    local_part, _, domain = path.rpartition("@")
    domain = domain[:_MAX_NAME]
    if not _PLAIN(domain):
        return _name(domain)
    allowed = _UTF8_LOCAL_PART if utf8 else _LOCAL_PART
    return f"{local_part}@{domain}" if allowed(local_part) else at + domain


def _reason(text: str) -> str:
    """A reasonspec, short and without anything that could be read as a result."""
    plain = " ".join(_NOT_IN_REASON.sub(" ", text[:200].translate(_READABLE)).split())
    return f'reason="{plain[:_MAX_REASON].rstrip()}"' if plain else ""


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One result; method, result and names of properties (`header.from`) in lower case."""

    method: str
    result: str
    reason: str = ""
    properties: tuple[tuple[str, str], ...] = ()

    def value(self, name: str) -> str:
        """The first value of this property, "" where it has none."""
        return next((value for key, value in self.properties if key == name), "")


@dataclass(frozen=True, slots=True)
class Results:
    """What somebody's field says. `authserv_id` is lower case; empty where nothing was read."""

    authserv_id: str = ""
    methods: tuple[MethodResult, ...] = ()

    def of(self, method: str) -> tuple[MethodResult, ...]:
        """All results of a method, in their order."""
        return tuple(one for one in self.methods if one.method == method)

    def dmarc_passed(self, author_domain: str) -> bool:
        """Whether it reports DMARC once, as passed, for just this author domain."""
        found = self.of("dmarc")
        return (
            len(found) == 1
            and found[0].result == "pass"
            and [value.lower().rstrip(".") for name, value in found[0].properties
                 if name == "header.from"] == [author_domain]
        )  # fmt: skip


def read_results(text: str | bytes) -> Results:
    """The value of a field, folded or not, with or without its ARC instance. Never raises.

    What cannot be read is left out. Nothing is read above 16 KiB, and where a comment or a quote is
    not closed, which a stranger's text may have opened: half a result is a false one.
    """
    octets = text.encode("utf-8", "replace") if isinstance(text, str) else text
    if len(octets) > _MAX_READ:
        return Results()
    plain, balanced = without_comments(octets.replace(b"\r\n", b""))
    if not balanced:
        return Results()
    segments = _split(plain.decode("utf-8", "replace"))
    if segments and _INSTANCE.fullmatch(segments[0]):
        segments = segments[1:]
    if not segments:
        return Results()
    words = segments[0].split()
    methods = [one for text in segments[1:] if (one := _read_method(text)) is not None]
    return Results(words[0].strip('"').lower() if words else "", tuple(methods))


def _split(text: str) -> list[str]:
    """The text between semicolons that are not quoted; nothing where a quote is not closed."""
    segments = [""]
    for piece in _SEGMENTS.findall(text):
        if piece == '"':
            return []
        if piece == ";":
            if len(segments) > _MAX_METHODS:
                break
            segments.append("")
        else:
            segments[-1] += piece
    return segments


def _read_method(text: str) -> MethodResult | None:
    head = _METHOD.match(text)
    if head is None:
        return None
    reason, properties, position = "", [], head.end()
    while position < len(text):
        found = _PROPERTY.match(text, position)
        if found is None:
            skipped = _WORD.match(text, position)
            position = max(position + 1, skipped.end() if skipped else 0)
            continue
        position = found.end()
        value = _ESCAPED.sub(r"\1", (found[3] or "")[1:-1]) + (found[4] or "")
        if found[1]:
            properties.append((f"{found[1]}.{found[2]}".lower(), value))
        elif found[2].lower() == "reason":
            reason = value
    return MethodResult(head[1].lower(), head[2].lower(), reason, tuple(properties))
