"""The header fields that tell what scanners found, put on top of the message.

    X-Mxax-Scan: rspamd; spam; score=7.2; required=15      one a scanner, also failed and skipped
    X-Spam-Flag: YES                                       only on spam
    X-Spam-Score: 7.2
    X-Spam-Status: Yes, score=7.2 required=15 tests=A,B    as SpamAssassin and rspamd write it
    X-Virus-Status: Infected (Eicar-Test-Signature)        as ClamAV's milter writes it

The last four have names that filters know, and that anybody can write. Those that came with the
message stay: they may be signed, and what they say can only harm their author. A filter that looks
for `X-Spam-Flag: YES` finds ours, whatever else is there; that is why nothing is to be believed of
"NO". Of X-Mxax-Scan only ours are left, forged ones go (`cut_scan_fields`).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from mail.message import header_fields, split_header_block
from mail.scanning import ScanOutcome, ScanResult

SCAN_FIELD: Final = b"X-Mxax-Scan"
_SCORING: Final = (ScanOutcome.CLEAN, ScanOutcome.SPAM)
_VIRUS_SCANNERS: Final = ("clamd",)
_WIDTH: Final = 76


def scan_fields(results: Sequence[ScanResult]) -> str:
    """The fields of these results, CRLF-ended, ASCII; "" where nothing was asked."""
    fields = [_own_field(one) for one in results]
    scored = [one for one in results if _is_scored(one)]
    if scored:
        fields += _spam_fields(max(scored, key=_severity))
    return "".join(fields + _virus_field(results))


def cut_scan_fields(octets: bytes) -> list[tuple[int, int]]:
    """Byte ranges of the fields in the header block that only we may write."""
    block = octets[: split_header_block(octets)]
    name = SCAN_FIELD.lower()
    if name not in block.lower():
        return []
    return [(field.start, field.end) for field in header_fields(block) if field.name == name]


def _is_scored(result: ScanResult) -> bool:
    return result.outcome in _SCORING and result.scanner not in _VIRUS_SCANNERS


def _severity(result: ScanResult) -> tuple[bool, float]:
    """Spam before not; then by how far it is above what that scanner calls spam."""
    distance = result.score / result.threshold if result.threshold > 0 else result.score
    return result.outcome is ScanOutcome.SPAM, distance


def _own_field(result: ScanResult) -> str:
    words = [result.scanner, result.outcome.value]
    if _is_scored(result):
        words += [f"score={_number(result.score)}", f"required={_number(result.threshold)}"]
    atoms = [f" {word};" for word in words] + _listed("names", result.names)
    atoms[-1] = atoms[-1].removesuffix(";")
    return _folded(SCAN_FIELD.decode(), atoms)


def _spam_fields(result: ScanResult) -> list[str]:
    is_spam = result.outcome is ScanOutcome.SPAM
    score, threshold = _number(result.score), _number(result.threshold)
    atoms = [" Yes," if is_spam else " No,", f" score={score}", f" required={threshold}"]
    atoms += _listed("tests", result.names or ("none",))
    return [
        *(["X-Spam-Flag: YES\r\n"] if is_spam else []),
        f"X-Spam-Score: {score}\r\n",
        _folded("X-Spam-Status", atoms),
    ]


def _virus_field(results: Iterable[ScanResult]) -> list[str]:
    found = [one for one in results if one.outcome is ScanOutcome.VIRUS]
    if found:
        name = found[0].names[0] if found[0].names else "unnamed"
        return [_folded("X-Virus-Status", [" Infected", f" ({name})"])]
    was_asked = any(
        one.scanner in _VIRUS_SCANNERS and one.outcome is ScanOutcome.CLEAN for one in results
    )
    return ["X-Virus-Status: Clean\r\n"] if was_asked else []


def _number(number: float) -> str:
    """Without exponent and without the zeros that say nothing."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _listed(word: str, names: Sequence[str]) -> list[str]:
    """One list without blanks; it may be folded behind each comma, as SpamAssassin does it."""
    if not names:
        return []
    return [f" {word}={names[0]}"] + [f",{name}" for name in names[1:]]


def _folded(name: str, atoms: Iterable[str]) -> str:
    """The field with a line end before atoms that would make a line too long."""
    lines, line = [], f"{name}:"
    for atom in atoms:
        comma = "," if atom.startswith(",") else ""
        if len(line) + len(atom) > _WIDTH and not line.endswith(":"):
            lines.append(line + comma)
            line = "\t" + atom[1:]
        else:
            line += atom
    return "\r\n".join([*lines, line]) + "\r\n"
