"""The shape of our account mail: one plain text to one person, written by the service itself.

    panel/, tenants/ (by way of mail/ports.py)   recipient, subject, text  ->  Notice

Date, Message-ID and the service domain's signature are added by delivery. Callers pass no text that
a tenant wrote to anyone but that tenant himself (DESIGN: confirmation mail).
"""

import quopri
import textwrap
from email.header import Header
from typing import Final

from mail.address import parse_address
from mail.errors import BadAddress
from mail.message import CRLF
from mail.ports import Notice

_MAX_SUBJECT_CHARACTERS: Final = 150
_WIDTH: Final = 72


def account_mail(
    *, recipient: str, subject: str, paragraphs: tuple[str, ...], service_domain: str
) -> Notice:
    """A notice from the service to one person (RFC 3834: auto-generated, nobody answers it).

    Paragraphs are wrapped, lines that are one word (links) never. The reverse-path is null: what
    became of it stands in the log, and strangers' refusals fill no mailbox. Raises `BadAddress` for
    a recipient that is none, ValueError for a subject that is empty or not one line.
    """
    address = str(parse_address(recipient))
    if not address.isprintable():
        raise BadAddress("the address has a control character")
    head = [
        f"From: Mail service <postmaster@{service_domain}>",
        f"To: <{address}>",
        f"Subject: {_subject(subject)}",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        "",
    ]
    octets = "\r\n".join(head).encode() + _body(paragraphs)
    return Notice(address, octets, reverse_path="")


def _subject(text: str) -> str:
    if not text.isprintable() or not 0 < len(text) <= _MAX_SUBJECT_CHARACTERS:
        raise ValueError("a subject is one short line of text")
    return Header(text, "utf-8" if not text.isascii() else None).encode(linesep="\r\n")


def _body(paragraphs: tuple[str, ...]) -> bytes:
    wrapped = (
        textwrap.fill(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)
        for paragraph in paragraphs
    )
    text = "\n\n".join(wrapped) + "\n"
    return quopri.encodestring(text.encode()).replace(b"\n", CRLF)
