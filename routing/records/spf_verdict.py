"""Whether a domain's SPF record lets us send for it (RFC 7208)."""

from routing.records.policies import (
    MOST_LOOK_UPS,
    is_spf,
    merged_spf,
    spf_look_ups,
    spf_names_us,
    strange_spf_terms,
)
from routing.records.values import Answer, Finding, Verdict, Wanted
from routing.records.wanted import DomainFacts

ONLY_RECEIVES = "A domain that only receives needs nothing of ours in it."


def spf_finding(wanted: Wanted, answer: Answer, facts: DomainFacts) -> Finding:
    """What is there is kept: advice is the record of the owner with our term in it."""
    records = [text for text in answer.values if is_spf(text)]
    if not records:
        return _no_record(wanted, facts)
    if len(records) > 1:
        return _several(records, facts)
    return _one(records[0], facts)


def _no_record(wanted: Wanted, facts: DomainFacts) -> Finding:
    if not facts.sends:
        return Finding(Verdict.NOT_NEEDED, f"There is no SPF record. {ONLY_RECEIVES}")
    return Finding(Verdict.MISSING, "There is no SPF record.", wanted.value)


def _several(records: list[str], facts: DomainFacts) -> Finding:
    text = f"There are {len(records)} SPF records; receivers then use none of them. "
    merged = merged_spf(records, facts.spf_term) if facts.sends else ""
    text += "Put this one in their place." if merged else "Make one of them."
    return Finding(Verdict.SEVERAL, text, merged)


def _one(record: str, facts: DomainFacts) -> Finding:
    strange = strange_spf_terms(record)
    if strange:
        text = f"Receivers cannot read “{strange[0]}” in it, and then use none of the record."
        return Finding(Verdict.WRONG, text)
    if spf_names_us(record, facts.spf_term):
        return Finding(Verdict.RIGHT, "It lets us send for the domain.")
    if not facts.sends:
        return Finding(Verdict.NOT_NEEDED, f"There is an SPF record; leave it. {ONLY_RECEIVES}")
    merged = merged_spf([record], facts.spf_term)
    text = f"It does not name us: add {facts.spf_term}, and leave the rest as it is."
    if spf_look_ups(merged) > MOST_LOOK_UPS:
        text += (
            f" With it the record asks for more than {MOST_LOOK_UPS} look-ups, where receivers "
            "stop reading: take out what you do not use any more."
        )
    return Finding(Verdict.WRONG, text, merged)
