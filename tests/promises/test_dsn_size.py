"""How much of the original goes back in our DSN, in the figure that is promised."""

from __future__ import annotations

from dataclasses import replace
from email import message_from_bytes, policy

import pytest

from mail.dsn import failure_dsn, header_as_received
from tests.mail.test_dsn import FACTS, OURS


@pytest.mark.parametrize("width", [10, 70, 900])
def test_no_more_than_50_kb_of_the_original_goes_back(width):
    header = b"From: carol@author.example\r\n" + b"".join(
        b"X-%d: %s\r\n" % (number, b"y" * width) for number in range(300_000 // (width + 10))
    )

    received = header_as_received(OURS + header + b"\r\nbody\r\n", "mxax.test")
    octets = failure_dsn(replace(FACTS, original_header=received))

    original = list(message_from_bytes(octets, policy=policy.SMTP).iter_parts())[2]
    returned = original.as_bytes().partition(b"\r\n\r\n")[2]
    assert 40_000 < len(returned) <= 50_000
    assert octets.count(b"From: carol@author.example") == 1
    assert len(octets) < 60_000
