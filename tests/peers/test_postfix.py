"""A real Postfix takes our mail, believes our signatures and our reverse-path, and bounces to us."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from tests.peers.conftest import POSTFIX, World
from tests.peers.debian import files_below, greets, need_root, open_folder
from tests.peers.spf_policy import spf_policy
from tests.ports import free_port

pytestmark = [pytest.mark.needs_debian, pytest.mark.slow, pytest.mark.journey]

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log/maillog
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.postfix.example
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 192.0.2.1/32
local_header_rewrite_clients =
virtual_mailbox_domains = postfix.example
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{ {{ok-postfix.postfix@postfix.example = ok/}}, {{late@postfix.example = late/}} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
transport_maps = inline:{{ {{late@postfix.example = late:}} }}
relayhost = {relay}
smtp_host_lookup = native
smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service inet:127.0.0.1:{policy}
smtpd_milters = inet:127.0.0.1:{milter}
milter_default_action = tempfail
smtpd_tls_security_level = none
notify_classes =
"""
MASTER = """
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
late unix - n n - - pipe flags= user=nobody argv={refuse}
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


@contextlib.contextmanager
def opendkim(world: World, folder: Path) -> Iterator[int]:
    """The port of a verifying milter that knows our published keys."""
    folder.mkdir()
    port = free_port()
    keys = folder / "keys"
    keys.write_text("".join(f"{name} {text}\n" for name, text in world.dkim_records().items()))
    (folder / "opendkim.conf").write_text(
        f"Mode v\nSocket inet:{port}@127.0.0.1\nTestDNSData file:{keys}\nBackground no\n"
        "AuthservID mx.postfix.example\nSyslog no\n"
    )
    process = subprocess.Popen(
        ["opendkim", "-f", "-x", folder / "opendkim.conf"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(0.5)
        assert process.poll() is None, "opendkim ended"
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def postfix(world: World) -> Iterator[Path]:
    """A Postfix of our own configuration; the folder that its mail is in."""
    need_root("postfix", "opendkim")
    with (
        open_folder() as folder,
        opendkim(world, folder / "dkim") as milter,
        spf_policy(world.zone) as policy_port,
    ):
        configure(folder, world, milter, policy_port)
        with master(folder, world.port):
            yield folder


def configure(folder: Path, world: World, milter: int, policy_port: int) -> None:
    user = pwd.getpwnam("postfix")
    for name in ("queue", "data", "log", "mail", "etc"):
        (folder / name).mkdir()
    for name in ("data", "mail"):
        os.chown(folder / name, user.pw_uid, user.pw_gid)
    words = {"folder": folder, "relay": world.mx, "policy": policy_port, "milter": milter}
    main = MAIN.format(**words, uid=user.pw_uid, gid=user.pw_gid)
    (folder / "etc/main.cf").write_text(main)
    refuse = folder / "refuse"
    refuse.write_text("#!/bin/sh\necho 5.2.2 mailbox of late@postfix.example is full\nexit 69\n")
    refuse.chmod(0o755)
    master_cf = MASTER.format(port=f"{POSTFIX}:{world.port}", refuse=refuse)
    (folder / "etc/master.cf").write_text(master_cf)


@contextlib.contextmanager
def master(folder: Path, port: int) -> Iterator[None]:
    started = subprocess.run(
        ["postfix", "-c", folder / "etc", "start"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    pid_file = folder / "queue/pid/master.pid"
    deadline = time.monotonic() + 20
    while not greets(POSTFIX, port):
        log = folder / "log/maillog"
        said = log.read_text()[-1500:] if log.exists() else ""
        assert time.monotonic() < deadline, f"{started.stdout}{started.stderr}{said}"
        time.sleep(0.2)
    try:
        yield
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGTERM)


def test_it_believes_both_signatures_and_the_reverse_path(world, postfix):
    trace = world.service.send("ok-postfix@ada.example", subject="for postfix")

    (octets,) = world.wait_for(
        lambda: files_below(postfix / "mail/ok/new"), lambda: log_of(postfix)
    )
    message = message_from_bytes(octets, policy=policy.default)
    results = " ".join(message.get_all("Authentication-Results", []))
    passed = re.findall(r"dkim=(\w+)", results)
    assert passed.count("pass") == 2, results
    assert "header.d=fwd.mxax.test" in results
    assert message["Received-SPF"] == "pass"
    assert message["Return-Path"].endswith("=author.example=ada@fwd.mxax.test>")
    assert message["Subject"] == "for postfix"
    story = world.service.manage("trace", trace)
    assert "mx.postfix.example" in story


def test_its_refusal_is_told_to_the_author(world, postfix):
    before = len(world.author.arrivals)

    world.service.send("gone@ada.example", subject="to nobody")

    dsn = dsn_after(world, before, postfix)
    assert b"gone@ada.example" in dsn.octets
    assert b"postfix.example" not in dsn.octets


def test_a_bounce_after_it_said_250_comes_back_and_is_told_to_the_author(world, postfix):
    before = len(world.author.arrivals)

    world.service.send("late@ada.example", subject="too late", reverse_path="eve@author.example")

    dsn = dsn_after(world, before, postfix)
    assert dsn.mail.startswith("MAIL FROM:<>")
    assert dsn.recipient == "eve@author.example"
    assert b"late@ada.example" in dsn.octets
    assert b"5.2.2" in dsn.octets
    assert b"late@postfix.example" not in dsn.octets
    assert b"mx.postfix.example" not in dsn.octets


def dsn_after(world: World, before: int, postfix: Path):
    world.wait_for(lambda: len(world.author.arrivals) > before, lambda: log_of(postfix))
    return world.author.arrivals[before]


def log_of(folder: Path) -> str:
    return (folder / "log/maillog").read_text()[-1500:]
