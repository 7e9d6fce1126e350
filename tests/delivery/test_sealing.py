"""The seal of forwarded mail: made once a message, and only where there is something to say."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from delivery.claim import ClaimedMessage, Content
from delivery.render import render
from delivery.sealing import Sealer
from mail.authentication.values import ArcResult
from mail.facts import LogLevel
from mail.plan import Direction
from mail.signing import Algorithm, generate_key_pair, load_signing_key, relaxed_body_hash

HEADER = b"From: carol@author.example\r\nSubject: hi\r\n"
RESULTS = b"Authentication-Results: mx.test;\r\n\tdmarc=pass header.from=author.example\r\n"
NOW = 1_795_323_600


@pytest.fixture(scope="module")
def keys():
    return tuple(
        load_signing_key(
            generate_key_pair(kind)[0], algorithm=kind, domain="fwd.mx.test", selector=kind.value
        )
        for kind in Algorithm
    )


def message(**changes) -> ClaimedMessage:
    one = ClaimedMessage(
        id=uuid4(),
        tenant_id=1,
        direction=Direction.FORWARD,
        reverse_path="carol@author.example",
        outgoing_path="",
        size_octets=100,
        header_octets=len(HEADER),
        chunk_count=1,
        smtputf8=False,
        log_level=LogLevel.METADATA,
        accepted_at=datetime(2026, 11, 22, tzinfo=UTC),
        content=Content((HEADER + b"\r\nhello\r\n",), relaxed_body_hash(b"hello\r\n")),
        our_fields=RESULTS,
        chain=ArcResult.NONE,
    )
    return replace(one, **changes)


def sent(one: ClaimedMessage, keys, sealer: Sealer, now: int = NOW) -> bytes:
    assert one.content is not None
    made = render(one, one.content, keys=keys, mark=b"", now=now, sealer=sealer)
    return made.pieces[0]


def test_a_seal_stands_on_top_and_repeats_our_results(keys):
    octets = sent(message(), keys, Sealer())

    assert octets.startswith(b"ARC-Seal: i=1;")
    assert b"ARC-Authentication-Results: i=1; mx.test;\r\n\tdmarc=pass" in octets
    assert octets.index(b"ARC-Seal") < octets.index(b"DKIM-Signature") < octets.index(RESULTS)


def test_a_second_destination_gets_the_same_seal_and_a_signature_of_its_own(keys):
    one, sealer = message(), Sealer()
    first, second = sent(one, keys, sealer), sent(one, keys, sealer, now=NOW + 60)

    end = first.index(b"DKIM-Signature")
    assert first[:end] == second[:end]
    assert first != second


@pytest.mark.parametrize(
    ("changes", "enabled"),
    [
        ({"chain": None}, True),
        ({"chain": ArcResult.TEMPERROR}, True),
        ({"direction": Direction.NOTICE}, True),
        ({}, False),
    ],
)
def test_what_was_not_looked_at_is_not_sealed(keys, changes, enabled):
    octets = sent(message(**changes), keys, Sealer(enabled=enabled))

    assert b"ARC-" not in octets
    assert octets.startswith(b"DKIM-Signature")
