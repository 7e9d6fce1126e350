"""Looking for the proof of a claim in the DNS."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from django.conf import settings

from routing.resolver import Server, TxtAnswer, TxtOutcome, TxtResolver
from tenants.claims import challenge_name, challenge_text
from tenants.proof import ProofCheck, ProofSeen

AT_ONCE: Final = 20


class LooksUpTxt(Protocol):
    """What the checks need of a resolver."""

    async def look_up(self, name: str) -> TxtAnswer: ...


@dataclass(frozen=True, slots=True)
class ProofWanted:
    """One proof to look for."""

    claim_id: int
    domain: str
    token: str


def configured_resolver() -> TxtResolver:
    """The resolver that this installation's settings name."""
    env = settings.ENV
    return TxtResolver(
        servers=tuple(Server(where.host, where.port) for where in env.dns_servers),
        authoritative_port=env.authoritative_port,
        private_servers=env.allow_private_next_hops or env.authoritative_port != 53,
    )


def look_for_proofs(
    wanted: Sequence[ProofWanted], resolver: LooksUpTxt | None = None
) -> list[ProofCheck]:
    """What the DNS says of each, in order; twenty at once, on an event loop of this call."""
    return asyncio.run(_look_for_all(wanted, resolver or configured_resolver()))


async def _look_for_all(wanted: Sequence[ProofWanted], resolver: LooksUpTxt) -> list[ProofCheck]:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(proof: ProofWanted) -> ProofCheck:
        async with gate:
            return judge_proof(proof, await resolver.look_up(challenge_name(proof.domain)))

    return list(await asyncio.gather(*(one(proof) for proof in wanted)))


def judge_proof(wanted: ProofWanted, answer: TxtAnswer) -> ProofCheck:
    """Whether one of the TXT records is the proof, all of it and nothing else."""
    where = challenge_name(wanted.domain)
    if answer.outcome is TxtOutcome.UNKNOWN:
        return ProofCheck(ProofSeen.UNKNOWN, f"{where}: {answer.detail or 'no usable answer'}.")
    if challenge_text(wanted.token) in answer.strings:
        return ProofCheck(ProofSeen.FOUND, f"{where}: the proof is there.")
    if answer.outcome is TxtOutcome.FOUND:
        return ProofCheck(ProofSeen.MISSING, f"{where}: TXT is there, but none is the proof.")
    return ProofCheck(ProofSeen.MISSING, f"{where}: {answer.detail or answer.outcome.value}.")
