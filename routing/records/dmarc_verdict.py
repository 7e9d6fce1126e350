"""What a domain tells receivers about mail that claims to be from it (RFC 9989)."""

from collections.abc import Sequence

from routing.records.policies import (
    dmarc_policy,
    is_dmarc,
    strictest_dmarc,
    tags_of,
    with_policy,
)
from routing.records.values import Answer, Finding, Seen, Verdict, Wanted, nothing_there

Above = Sequence[tuple[str, Seen]]


def dmarc_finding(wanted: Wanted, answer: Answer, above: Above) -> Finding:
    """`above`: what was seen at the domains above, nearest first. A policy is never made weaker."""
    records = [text for text in answer.values if is_dmarc(text)]
    if not records:
        return _inherited(above) or _none(wanted, answer)
    if len(records) > 1:
        return _several(records)
    return _one(records[0])


def _one(record: str) -> Finding:
    policy = dmarc_policy(record)
    if policy == "none":
        text = (
            "The policy is none: receivers only report. Raise it once the reports show no mail but "
            "yours."
        )
        return Finding(Verdict.RIGHT, text)
    if policy:
        return Finding(Verdict.RIGHT, f"The policy is {policy}; leave it.")
    said = tags_of(record).get("p")
    there = f"p={said} is no policy" if said else "it has no policy (p=)"
    return Finding(Verdict.WRONG, f"A record is there, but {there}.", with_policy(record, "none"))


def _several(records: list[str]) -> Finding:
    text = f"There are {len(records)} DMARC records; receivers then use none. Leave only this one."
    return Finding(Verdict.SEVERAL, text, strictest_dmarc(records))


def _none(wanted: Wanted, answer: Answer) -> Finding:
    if answer.values and answer.alias:
        text = f"A CNAME to {answer.alias} stands at this name, and leads to no DMARC record."
    elif answer.values:
        text = "There is a TXT record at this name, but none that begins with v=DMARC1."
    else:
        text = nothing_there(answer)
    return Finding(Verdict.MISSING, text, wanted.value)


def _inherited(above: Above) -> Finding | None:
    """A record of the domain above speaks for this one too: `sp` where it says so, else `p`."""
    for name, seen in above:
        found = [answer for answer in (seen.resolver, *seen.authoritative) if answer.is_known]
        records = [text for text in found[0].values if is_dmarc(text)] if found else []
        if len(records) == 1:
            policy = tags_of(records[0]).get("sp") or dmarc_policy(records[0]) or "none"
            text = f"The record at {name} speaks for this domain too: its policy is {policy}."
            return Finding(Verdict.NOT_NEEDED, text)
    return None
