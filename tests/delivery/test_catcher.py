"""The catcher takes everything and keeps it, octet by octet."""

from __future__ import annotations

import smtplib
import socket
import threading
import time

import pytest

from delivery import catcher
from delivery.catcher import Catcher, Mailbox


@pytest.fixture
def mailbox(tmp_path) -> Mailbox:
    return Mailbox(tmp_path / "mail")


@pytest.fixture
def port(mailbox):
    with Catcher("127.0.0.1", 0, mailbox) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(5)


def caught(mailbox: Mailbox) -> list[bytes]:
    """The messages in order of arrival; none may be half written."""
    assert not list((mailbox.path / "tmp").iterdir())
    return [path.read_bytes() for path in sorted((mailbox.path / "new").iterdir())]


def say(port: int, octets: bytes) -> bytes:
    """Everything in one write; everything it says until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(octets)
        client.shutdown(socket.SHUT_WR)
        said = b""
        while part := client.recv(65536):
            said += part
        return said


def test_a_message_is_kept_with_its_envelope(port, mailbox):
    body = "Subject: Tea\r\n\r\nAt four.\r\n.\r\n..\r\n"

    with smtplib.SMTP("127.0.0.1", port) as client:
        client.sendmail("", ["a@one.example", "b@two.example"], body)

    (kept,) = caught(mailbox)
    assert kept == (
        b"X-Envelope-From: <>\r\nX-Envelope-To: <a@one.example>\r\n"
        b"X-Envelope-To: <b@two.example>\r\n" + body.encode()
    )


def test_a_message_of_ten_megabytes_comes_out_unchanged(port, mailbox):
    body = b"Subject: big\r\n\r\n" + b"x" * 70_000 + b"\r\n" + (b".y" * 38 + b"\r\n") * 130_000

    with smtplib.SMTP("127.0.0.1", port) as client:
        client.sendmail("a@one.example", "b@two.example", body)

    assert caught(mailbox)[0].endswith(b"<b@two.example>\r\n" + body)


def test_a_pipelined_transaction_is_answered_in_order(port, mailbox):
    one = b"MAIL FROM:<a@b.example> SIZE=9 BODY=8BITMIME\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"

    said = say(port, b"EHLO x\r\n" + (one + b"hi \xff\r\n.\r\n") * 2 + b"QUIT\r\n")

    codes = [line[:3] for line in said.split(b"\r\n") if line[3:4] == b" "]
    assert codes == [b"220", b"250", *[b"250", b"250", b"354", b"250"] * 2, b"221"]
    assert len(caught(mailbox)) == 2


def test_every_keyword_it_offers_works(port, mailbox):
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.ehlo("x")
        offered = set(client.esmtp_features)
        client.sendmail(
            "ä@ä.example",
            ["ö@ö.example"],
            "Subject: ü\r\n\r\nü\r\n".encode(),
            mail_options=["SMTPUTF8", "BODY=8BITMIME", "SIZE=20"],
        )

    assert offered == {"pipelining", "size", "8bitmime", "smtputf8", "enhancedstatuscodes"}
    assert "X-Envelope-To: <ö@ö.example>".encode() in caught(mailbox)[0]


def test_a_client_that_leaves_inside_data_leaves_nothing(port, mailbox):
    say(port, b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nhalf a mess")

    assert caught(mailbox) == []


def test_a_lone_dot_without_its_line_end_is_content(port, mailbox):
    commands = b"HELO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"

    say(port, commands + b"a\n.\nb\r\n.\nc\r\n.\r\nQUIT\r\n")

    assert caught(mailbox)[0].endswith(b"<c@d>\r\na\n.\nb\r\n\nc\r\n")


def test_commands_out_of_order_are_told_so(port):
    said = say(port, b"DATA\r\nRCPT TO:<a@b>\r\nWHAT\r\n__init__\r\nNOOP\r\nQUIT\r\n")

    codes = [line[:3] for line in said.split(b"\r\n") if line]
    assert codes == [b"220", b"503", b"503", b"502", b"502", b"250", b"221"]


def test_a_full_disk_is_told_and_the_session_goes_on(port, mailbox, monkeypatch):
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    with smtplib.SMTP("127.0.0.1", port) as client:
        with monkeypatch.context() as patched:
            patched.setattr(catcher.os, "fsync", full)
            with pytest.raises(smtplib.SMTPDataError) as error:
                client.sendmail("a@b.example", "c@d.example", b"Subject: 1\r\n\r\nx\r\n")
        client.sendmail("a@b.example", "c@d.example", b"Subject: 2\r\n\r\nx\r\n")

    assert error.value.smtp_code == 452
    assert [b"Subject: 2" in one for one in caught(mailbox)] == [True]


def test_only_the_newest_are_kept(tmp_path):
    mailbox = Mailbox(tmp_path, keep=3)
    for number in range(5):
        mailbox.store(iter([b"%d" % number]))
        time.sleep(0.001)

    mailbox.prune()

    assert caught(mailbox) == [b"2", b"3", b"4"]


def test_it_needs_neither_django_nor_asyncio():
    import subprocess
    import sys

    code = (
        "import sys, delivery.catcher, mxax.env\n"
        "print([m for m in ('django', 'asyncio', 'ssl', 'cryptography') if m in sys.modules])"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == "[]"
