"""What a domain should publish, from a few facts about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from routing.records.values import Kind, Need, Question, Wanted
from tenants.claims import challenge_name, challenge_text, is_public_suffix

MX_PREFERENCE: Final = 10
FIRST_DMARC: Final = "v=DMARC1; p=none"


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """The public half of a DKIM key: `public` is `k=…; p=…`."""

    selector: str
    public: str


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """What is known here of a domain.

    `token`: of its claim; empty where an operator's word stands for the proof. `mx_hosts`: our own
    MX host names, the first for a new record. `keys`: whoever has some sends by us.
    """

    name: str
    token: str
    mx_hosts: tuple[str, ...]
    spf_term: str
    keys: tuple[PublishedKey, ...] = ()

    @property
    def sends(self) -> bool:
        return bool(self.keys)


def wanted_records(facts: DomainFacts) -> tuple[Wanted, ...]:
    """The records of a domain, the most important first."""
    proof = (_proof(facts),) if facts.token else ()
    return (*proof, _mx(facts), _spf(facts), *_dkim(facts), _dmarc(facts))


def questions_of(facts: DomainFacts) -> tuple[Question, ...]:
    """Everything to ask about a domain, each once."""
    own = [wanted.question for wanted in wanted_records(facts)]
    return tuple(dict.fromkeys([*own, *policies_above(facts.name)]))


def policies_above(name: str) -> tuple[Question, ...]:
    """Where a DMARC policy may stand that covers this domain too (RFC 9989, 4.10), nearest first.

    Four levels are enough for a person; public suffixes do not speak for what is below them.
    """
    labels = name.split(".")
    parents = [".".join(labels[start:]) for start in range(1, len(labels) - 1)]
    names = [parent for parent in parents if not is_public_suffix(parent)]
    return tuple(Question(f"_dmarc.{parent}", "TXT") for parent in names[-4:])


def _proof(facts: DomainFacts) -> Wanted:
    return Wanted(
        Kind.PROOF,
        Need.REQUIRED,
        challenge_name(facts.name),
        "TXT",
        challenge_text(facts.token),
        "Proves that the domain is yours. Keep it for as long as you use the domain here.",
    )


def _mx(facts: DomainFacts) -> Wanted:
    return Wanted(
        Kind.MX,
        Need.REQUIRED,
        facts.name,
        "MX",
        f"{MX_PREFERENCE} {facts.mx_hosts[0]}.",
        "Brings mail for the domain to us. Take other MX records of this name out.",
    )


def _spf(facts: DomainFacts) -> Wanted:
    why = (
        "Says that mail which you send by us is yours."
        if facts.sends
        else "Only for mail that you send by us. A domain that only receives needs nothing of ours "
        "here: mail that we forward leaves under our own name."
    )
    value = f"v=spf1 {facts.spf_term} ~all"
    return Wanted(Kind.SPF, Need.SENDING, facts.name, "TXT", value, why)


def _dkim(facts: DomainFacts) -> Sequence[Wanted]:
    return [
        Wanted(
            Kind.DKIM,
            Need.SENDING,
            f"{key.selector}._domainkey.{facts.name}",
            "TXT",
            f"v=DKIM1; {key.public}",
            "Receivers check our signature of your mail with this key.",
        )
        for key in facts.keys
    ]


def _dmarc(facts: DomainFacts) -> Wanted:
    return Wanted(
        Kind.DMARC,
        Need.RECOMMENDED,
        f"_dmarc.{facts.name}",
        "TXT",
        FIRST_DMARC,
        "Tells receivers what to do with mail that only claims to be from this domain. p=none "
        "changes nothing yet and is a safe beginning.",
    )
