"""Records as the pages show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from routing.records.report import Row, Said
from routing.records.texts import ProviderFields, provider_fields, zone_file, zone_line
from routing.records.values import Kind, Need, Verdict

_TONES: Final = {
    Verdict.RIGHT: "good",
    Verdict.NOT_NEEDED: "plain",
    Verdict.NOT_YET: "warn",
    Verdict.UNKNOWN: "warn",
}
_TITLES: Final = {
    Kind.PROOF: "Proof that the domain is yours",
    Kind.MX: "Incoming mail (MX)",
    Kind.SPF: "Who may send (SPF)",
    Kind.DKIM: "Signature key (DKIM)",
    Kind.DMARC: "Policy for forged mail (DMARC)",
}
NOT_LOOKED: Final = "not looked at yet"


@dataclass(frozen=True, slots=True)
class RecordView:
    """One record: what to publish, what is there, and what that means."""

    anchor: str
    title: str
    word: str
    tone: str
    why: str
    text: str
    type: str
    name: str
    value: str
    """To publish; what should stand there where nothing is to be done."""
    is_to_do: bool
    has_value: bool
    fields: ProviderFields
    was_looked_at: bool
    authoritative: Said
    resolver: Said
    is_settled: bool


def record_views(rows: Sequence[Row]) -> list[RecordView]:
    return [_view(row, number) for number, row in enumerate(rows, 1)]


def _view(row: Row, number: int) -> RecordView:
    value = row.publish or (row.value if row.is_only_ours else "")
    title = _TITLES[row.kind]
    if row.kind is Kind.DKIM:
        title = f"{title}, {row.name.partition('.')[0]}"
    return RecordView(
        anchor=f"{row.kind.value}-{number}",
        title=title,
        word=row.verdict.value if row.verdict else NOT_LOOKED,
        tone=_tone(row),
        why=row.why,
        text=row.text,
        type=row.type,
        name=row.name,
        value=value,
        is_to_do=bool(row.publish),
        has_value=bool(value),
        fields=provider_fields(row.name, row.type, value),
        was_looked_at=row.verdict is not None,
        authoritative=row.authoritative,
        resolver=row.resolver,
        is_settled=row.verdict in (Verdict.RIGHT, Verdict.NOT_NEEDED),
    )


def _tone(row: Row) -> str:
    if row.verdict is None:
        return "plain"
    bad = "warn" if row.need is Need.RECOMMENDED else "bad"
    return _TONES.get(row.verdict, bad)


def zone_snippet(domain: str, rows: Sequence[Row]) -> str:
    """What to put into the zone; what is there already only as a comment."""
    wanted, in_place = [], []
    for row in rows:
        if row.publish:
            note = " It takes the place of what is there now." if row.authoritative.values else ""
            wanted.append((row.name, row.type, row.publish, row.why + note))
        elif row.verdict in (Verdict.RIGHT, Verdict.NOT_YET) and row.is_only_ours:
            in_place.append(f"; in place already: {zone_line(row.name, row.type, row.value)}\n")
    text = zone_file(domain, wanted, "As of the last look of mx.ax; nothing else is to be changed.")
    return text + "".join(in_place)
