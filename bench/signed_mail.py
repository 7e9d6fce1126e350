"""Mail as a careful sender makes it, for the benchmark: signed, with SPF and DMARC in the DNS.

The zone answers in a process of its own. The signature covers what all messages of a run share
(author, subject, date, body), so that making it costs the load source nothing.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import dkim

from mail.signing import Algorithm, dkim_record_strings, generate_key_pair
from tests.delivery.dns_zone import Zone, serve

if TYPE_CHECKING:
    from bench.compare import Job

HERE = Path(__file__).resolve().parent
DOMAIN = "sender.example"
SELECTOR = b"bench"


@functools.cache
def _key() -> tuple[bytes, str]:
    return generate_key_pair(Algorithm.RSA_SHA256)


@contextlib.contextmanager
def senders_zone() -> Iterator[str]:
    """The address of a DNS server that knows the sender."""
    mine, its = multiprocessing.Pipe()
    names = {
        DOMAIN: [("TXT", ["v=spf1 ip4:127.0.0.1 -all"])],
        f"_dmarc.{DOMAIN}": [("TXT", ["v=DMARC1; p=reject"])],
        f"bench._domainkey.{DOMAIN}": [("TXT", list(dkim_record_strings(_key()[1])))],
        "1.0.0.127.in-addr.arpa": [("PTR", "source.bench.example")],
        "source.bench.example": [("A", "127.0.0.1"), ("TXT", ["v=spf1 a -all"])],
    }
    server = multiprocessing.get_context("spawn").Process(
        target=_answer, args=(names, its), daemon=True
    )
    server.start()
    try:
        yield mine.recv()
    finally:
        server.kill()
        server.join()


def _answer(names: dict, pipe: multiprocessing.connection.Connection) -> None:
    with serve(Zone(names, ttl=3600)) as zone:
        pipe.send(f"{zone.address[0]}:{zone.address[1]}")
        while True:
            time.sleep(3600)


def signed_fields(job: Job) -> bytes:
    """The DKIM-Signature of all messages of a run."""
    sys.path.insert(0, str(HERE))
    from load import template

    shared, body = template(job.size, job.sender, "")
    return dkim.sign(
        shared + body,
        SELECTOR,
        DOMAIN.encode(),
        _key()[0],
        canonicalize=(b"relaxed", b"relaxed"),
        include_headers=[b"from", b"subject", b"date", b"mime-version", b"content-type"],
    )
