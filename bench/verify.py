"""How fast one core verifies, and what a dead resolver costs those who do not need it.

    .venv/bin/python bench/verify.py

Signed 6 KB messages, the whole verification of the edge (SPF, DKIM, ARC, DMARC, the client's name)
in one thread, the DNS cached. Then the same beside 1,000 messages whose names never answer.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import dkim  # noqa: E402
from load import template  # noqa: E402

from mail.authentication.values import DmarcResult  # noqa: E402
from mail.envelope import Client, Envelope  # noqa: E402
from mail.message import header_fields, split_header_block  # noqa: E402
from mail.signing import Algorithm, generate_key_pair  # noqa: E402
from mail.trace import new_trace_id  # noqa: E402
from tests.smtp_edge.test_verification import Names  # noqa: E402

SENDER = "someone@sender.example"
KEYS = {algorithm: generate_key_pair(algorithm) for algorithm in Algorithm}


def main() -> None:
    asyncio.run(_measure())


async def _measure() -> None:
    from smtp_edge.verification import DnsVerifier

    verifier = DnsVerifier(Names(_zone(), silent=("dead.example",)), receiver="mx.test")
    for algorithm in Algorithm:
        octets = _signed(algorithm)
        rate, _ = await _run(verifier, octets, 2000)
        print(f"{algorithm.value}: {rate:.0f} messages a second and core")
    octets = _signed(Algorithm.RSA_SHA256)
    _, alone = await _run(verifier, octets, 2000)
    waiting = [
        asyncio.ensure_future(_verify(verifier, octets, f"u@n{n}.dead.example"))
        for n in range(1000)
    ]
    await asyncio.sleep(1)
    _, beside = await _run(verifier, octets, 2000)
    assert not any(task.done() for task in waiting)
    print(
        f"95th percentile: {alone * 1e3:.2f} ms alone, {beside * 1e3:.2f} ms beside 1,000 that"
        f" wait: {beside / alone:.2f} x"
    )
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    verifier.close()


async def _run(verifier, octets: bytes, count: int) -> tuple[float, float]:
    """Messages a second, and the 95th percentile in seconds."""
    times = []
    began = time.perf_counter()
    for _ in range(count):
        start = time.perf_counter()
        found = await _verify(verifier, octets, SENDER)
        times.append(time.perf_counter() - start)
        assert found.dmarc.result is DmarcResult.PASS
        assert found.dkim[0].passed
    return count / (time.perf_counter() - began), sorted(times)[count * 95 // 100]


async def _verify(verifier, octets: bytes, reverse_path: str):
    client = Client("192.0.2.7", 25, "mta.sender.example", "ESMTP")
    check = verifier.begin(Envelope(new_trace_id(0, bytes(10)), client, reverse_path))
    end = split_header_block(octets)
    check.header(header_fields(octets[:end]))
    check.body(octets[end:])
    return await check.found()


def _zone() -> dict:
    keys = {
        ("TXT", f"{algorithm.value}._domainkey.sender.example"): (f"v=DKIM1; {public}".encode(),)
        for algorithm, (_, public) in KEYS.items()
    }
    return {
        ("TXT", "sender.example"): (b"v=spf1 ip4:192.0.2.7 -all",),
        ("TXT", "_dmarc.sender.example"): (b"v=DMARC1; p=reject",),
        **keys,
    }


def _signed(algorithm: Algorithm) -> bytes:
    shared, body = template(6000, SENDER, "")
    octets = shared + body
    if algorithm is Algorithm.RSA_SHA256:
        return (
            dkim.sign(octets, algorithm.value.encode(), b"sender.example", KEYS[algorithm][0])
            + octets
        )
    from mail.signing import load_signing_key, relaxed_body_hash, sign

    key = load_signing_key(
        KEYS[algorithm][0], algorithm=algorithm, domain="sender.example", selector=algorithm.value
    )
    end = split_header_block(octets)
    return (
        sign(octets[:end], relaxed_body_hash(octets[end:]), (key,), now=int(time.time())) + octets
    )


if __name__ == "__main__":
    main()
