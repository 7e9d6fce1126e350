"""Whether mail for a domain comes to us (RFC 5321, 5.1; RFC 7505)."""

from collections.abc import Sequence
from dataclasses import dataclass

from routing.records.values import Answer, Finding, Verdict, Wanted

NULL_MX = "."


@dataclass(frozen=True, slots=True)
class Exchanger:
    """One MX record."""

    preference: int
    host: str


def exchangers_of(values: Sequence[str]) -> list[Exchanger]:
    """The MX records of an answer, the one that is tried first at the beginning."""
    pairs = [value.partition(" ") for value in values]
    found = [Exchanger(int(number), host) for number, _, host in pairs if number.isdigit()]
    return sorted(found, key=lambda one: (one.preference, one.host))


def mx_finding(wanted: Wanted, answer: Answer, ours: Sequence[str]) -> Finding:
    """`ours`: our MX host names."""
    found = exchangers_of(answer.values)
    if not found:
        return Finding(Verdict.MISSING, _none(answer), wanted.value)
    mine = [one for one in found if one.host in ours]
    others = [one for one in found if one.host not in ours]
    if not others:
        return Finding(Verdict.RIGHT, f"Mail comes to {_hosts(mine)}.")
    if not mine:
        return Finding(Verdict.WRONG, _elsewhere(others), wanted.value)
    return Finding(Verdict.SEVERAL, _shared(mine, others), wanted.value)


def comes_to_us(answer: Answer, ours: Sequence[str]) -> bool:
    """Whether what is tried first is ours."""
    found = exchangers_of(answer.values)
    return bool(found) and found[0].host in ours


def _none(answer: Answer) -> str:
    where = f"A CNAME to {answer.alias} stands here, without an MX record at its end; "
    begins = where if answer.alias else f"There is {answer.outcome.value}; "
    return begins + "mail goes to the address of the name itself, or nowhere."


def _elsewhere(others: Sequence[Exchanger]) -> str:
    if [one.host for one in others] == [NULL_MX]:
        return "The record says that the domain takes no mail at all (a null MX)."
    return f"Mail goes to {_hosts(others)}, not to us."


def _shared(mine: Sequence[Exchanger], others: Sequence[Exchanger]) -> str:
    first = mine[0].preference < others[0].preference
    when = "whenever we are slow to answer" if first else "too, and never reaches your routes"
    return f"Ours is there, but mail goes to {_hosts(others)} {when}. Take the others out."


def _hosts(found: Sequence[Exchanger]) -> str:
    shown = [f"{one.host} ({one.preference})" for one in found[:5]]
    return ", ".join(shown) + (" and others" if len(found) > 5 else "")
