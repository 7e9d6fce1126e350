"""One piece of a message that is far larger than any that people write."""

from __future__ import annotations

import pytest

from tests.smtp_edge.conftest import LETTER, mx, world
from tests.timing import within_cpu

__all__ = ["mx", "world"]

MEGABYTE = 1_000_000


def test_a_line_of_a_megabyte_arrives_in_one_piece(mx):
    octets = b"From: a@s.example\r\n\r\n" + b"w" * MEGABYTE + b"\r\n..\r\nend\r\n"
    client = mx.connect()

    reply = client.deliver(octets, "hi@example.org")

    assert reply.startswith("250")
    assert mx.world.content().endswith(b"w" * MEGABYTE + b"\r\n.\r\nend\r\n")
    assert client.deliver(LETTER, "hi@example.org").startswith("250")


def test_a_field_of_one_line_and_a_megabyte_is_too_large(mx):
    client = mx.connect()

    reply = client.deliver(b"Subject: " + b"w" * MEGABYTE + b"\r\n" + LETTER, "hi@example.org")

    assert reply.startswith("552 5.3.4")
    assert mx.world.kept == []


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"X-Many: " + b"b" * 70 + b"\r\n", "552 5.3.4"),
        (b"Received: x\r\n", "552 5.3.4"),
        (b"From: <a@b.example>\r\n", "552 5.3.4"),
    ],
    ids=["many", "received", "authors"],
)
def test_200_kilobytes_of_fields_are_refused_in_less_than_a_second(mx, header, expected):
    client = mx.connect()
    octets = header * (200_000 // len(header)) + LETTER

    reply = within_cpu(lambda: client.deliver(octets, "hi@example.org"), seconds=1)

    assert reply.startswith(expected)


@pytest.mark.parametrize(
    "header",
    [
        b"From: a@b.example\r\n" * 5_000,
        b"From: " + b"(" * 97_000 + b"\r\n",
        b"From: " + b"a@b.example, " * 7_000 + b"\r\n",
        b"Resent-From: " + b"=?utf-8?b?QA==?=" * 6_000 + b"\r\n",
        b"X:\r\n" + b" \r\n" * 32_000 + b"X: y\r\n",
        b"a:b\r\n" * 19_000,
    ],
    ids=["authors", "comments", "addresses", "encoded words", "folds", "fields"],
)
def test_whatever_fits_the_limit_is_judged_in_less_than_a_second(mx, header):
    assert len(header) < 100_000
    client = mx.connect()

    reply = within_cpu(lambda: client.deliver(header + LETTER, "hi@example.org"), seconds=1)

    assert reply[:3] in ("250", "550")
