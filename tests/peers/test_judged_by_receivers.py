"""Forwarded mail before the judges of a receiver: a Postfix with opendkim, opendmarc and rspamd.

Each writes what it found into the message that Postfix keeps: SPF, every signature, DMARC, and of
rspamd also the chain of seals.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import smtplib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mail.message import header_fields, split_header_block, values
from mail.signing import (
    Algorithm,
    cover,
    dkim_record_strings,
    generate_key_pair,
    load_signing_key,
    relaxed_body_hash,
    sign,
)
from tests.peers.conftest import JUDGE, World
from tests.peers.debian import files_below, greets, need_root, open_folder
from tests.peers.judges import asked_at_port_53, opendkim, opendmarc, rspamd

pytestmark = [pytest.mark.needs_debian, pytest.mark.slow, pytest.mark.journey]

RSPAMD, DKIM, DMARC = "mx.judge.example", "opendkim.judge.example", "opendmarc.judge.example"
NAMES = (RSPAMD, DKIM, DMARC)
KEYS = {algorithm: generate_key_pair(algorithm) for algorithm in Algorithm}
RECORDS = {
    "open.example": [("TXT", ["v=spf1 ip4:127.0.0.1 -all"])],
    "none.example": [("TXT", ["v=spf1 ip4:127.0.0.1 -all"])],
    "_dmarc.none.example": [("TXT", ["v=DMARC1; p=none"])],
    "strict.example": [("TXT", ["v=spf1 ip4:127.0.0.9 -all"])],
    "_dmarc.strict.example": [("TXT", ["v=DMARC1; p=reject"])],
    **{
        f"{algorithm.name.lower()}._domainkey.strict.example": [
            ("TXT", list(dkim_record_strings(public)))
        ]
        for algorithm, (_, public) in KEYS.items()
    },
}
MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log/maillog
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.judge.example
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
mynetworks = 192.0.2.1/32
local_header_rewrite_clients =
virtual_mailbox_domains = judge.example
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{ {{ok-judge.judge@judge.example = ok/}} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_recipient_restrictions = reject_unauth_destination
smtpd_milters = {milters}
milter_default_action = tempfail
smtpd_tls_security_level = none
notify_classes =
"""
MASTER = """
{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


@dataclass(frozen=True)
class Said:
    """What each judge wrote, and how often it says so of our domain."""

    results: dict[str, str]

    def count(self, judge: str, pattern: str) -> int:
        return len(re.findall(pattern, self.results[judge]))

    def believes_us(self) -> bool:
        """Both signatures by two; the reverse-path and the seal by the one that can."""
        return (
            self.count(DKIM, r"dkim=pass[^=]*header\.d=fwd\.mxax\.test") == 2
            and self.count(RSPAMD, r"dkim=pass header\.d=fwd\.mxax\.test") == 2
            and self.count(RSPAMD, r'spf=pass [^;]*smtp\.mailfrom="SRS0=[^"]*@fwd\.mxax\.test') == 1
            and self.count(RSPAMD, r'arc=pass \("fwd\.mxax\.test:s=\w+:i=1"\)') == 1
        )


@dataclass(frozen=True)
class Judges:
    world: World
    folder: Path

    def receive(self, author: str, subject: str, *algorithms: Algorithm) -> Said:
        """Send through us as this author; what the judges wrote into what came out."""
        octets = letter(author, subject)
        for algorithm in algorithms:
            octets = signed(octets, author.rpartition("@")[2], algorithm)
        with self.world.service.smtp() as client:
            assert client.sendmail(author, ["ok-judge@ada.example"], octets) == {}
        return said_in(self.kept(subject))

    def kept(self, subject: str) -> bytes:
        return self.world.wait_for(lambda: self._found(subject), self._log)[0]

    def hand_over(self, octets: bytes, reverse_path: str) -> None:
        """Give a message to the judges from somewhere else."""
        with smtplib.SMTP(
            JUDGE, self.world.port, "mail.mallory.example", source_address=("127.0.0.99", 0)
        ) as client:
            assert client.sendmail(reverse_path, ["ok-judge.judge@judge.example"], octets) == {}

    def _found(self, subject: str) -> list[bytes]:
        kept = files_below(self.folder / "mail/ok/new")
        return [one for one in kept if f"Subject: {subject}".encode() in one]

    def _log(self) -> str:
        return (self.folder / "log/maillog").read_text()[-3000:]


def letter(author: str, subject: str) -> bytes:
    lines = [f"From: Carol <{author}>", "To: ok-judge@ada.example", f"Subject: {subject}"]
    lines += ["Date: Sun, 22 Nov 2026 08:00:00 +0000", f"Message-ID: <{subject}@x.example>"]
    return "\r\n".join([*lines, "", "Good morning,  all.", "", ".dots", ""]).encode()


def signed(octets: bytes, domain: str, algorithm: Algorithm) -> bytes:
    key = load_signing_key(
        KEYS[algorithm][0], algorithm=algorithm, domain=domain, selector=algorithm.name.lower()
    )
    at = split_header_block(octets)
    covered = cover(header_fields(octets[: at - 2]))
    return sign(covered, relaxed_body_hash(octets[at:]), [key], now=int(time.time())) + octets


def said_in(octets: bytes) -> Said:
    fields = header_fields(octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    found = [one.decode() for one in values(fields, b"authentication-results")]
    return Said(
        {name: "\n".join(it for it in found if it.startswith(f"{name};")) for name in NAMES}
    )


@pytest.fixture(scope="module")
def judges(world: World) -> Iterator[Judges]:
    need_root("postfix", "opendkim", "rspamd", "unshare")
    world.zone.names.update(RECORDS)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(open_folder())
        stack.enter_context(asked_at_port_53(world.zone))
        ports = [
            # The first: it takes what others have said out of the message.
            stack.enter_context(rspamd(folder / "rspamd")),
            stack.enter_context(opendkim(folder / "opendkim", DKIM)),
            stack.enter_context(opendmarc(folder / "opendmarc", DMARC, believes=DKIM)),
        ]
        configure(folder, world.port, ports)
        stack.enter_context(master(folder, world.port))
        yield Judges(world, folder)


def configure(folder: Path, port: int, milters: list[int]) -> None:
    user = pwd.getpwnam("postfix")
    for name in ("queue", "data", "log", "mail", "etc"):
        (folder / name).mkdir()
    for name in ("data", "mail"):
        os.chown(folder / name, user.pw_uid, user.pw_gid)
    milter_list = ", ".join(f"inet:127.0.0.1:{one}" for one in milters)
    main = MAIN.format(folder=folder, milters=milter_list, uid=user.pw_uid, gid=user.pw_gid)
    (folder / "etc/main.cf").write_text(main)
    (folder / "etc/master.cf").write_text(MASTER.format(port=f"{JUDGE}:{port}"))


@contextlib.contextmanager
def master(folder: Path, port: int) -> Iterator[None]:
    started = subprocess.run(
        ["postfix", "-c", folder / "etc", "start"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    deadline = time.monotonic() + 30
    while not greets(JUDGE, port):
        log = folder / "log/maillog"
        said = log.read_text()[-1500:] if log.exists() else ""
        assert time.monotonic() < deadline, f"{started.stdout}{started.stderr}{said}"
        time.sleep(0.2)
    try:
        yield
    finally:
        os.kill(int((folder / "queue/pid/master.pid").read_text()), signal.SIGTERM)


@pytest.mark.parametrize(
    ("author", "dmarc"), [("carol@open.example", "none"), ("carol@none.example", "fail")]
)
def test_all_judges_believe_our_signatures_reverse_path_and_seal(judges, author, dmarc):
    said = judges.receive(author, f"unsigned-{author[6:10]}")

    assert said.believes_us(), said
    # An author who signs nothing is not proved by us: SPF and DKIM are ours and only ours.
    assert said.count(DMARC, rf"dmarc={dmarc}\b") == 1, said
    assert said.count(RSPAMD, r"dmarc=pass") == 0, said


@pytest.mark.parametrize("algorithms", [(Algorithm.RSA_SHA256,), tuple(Algorithm)])
def test_who_signs_stays_proved_under_reject(judges, algorithms):
    said = judges.receive("carol@strict.example", f"signed-{len(algorithms)}", *algorithms)

    assert said.believes_us(), said
    for judge in (RSPAMD, DKIM):
        assert said.count(judge, r"dkim=pass[^=]*header\.d=strict\.example") == len(algorithms), (
            said
        )
    assert said.count(RSPAMD, r"dmarc=pass") == 1, said
    assert said.count(DMARC, r"dmarc=pass") == 1, said


def test_the_judges_can_say_no(judges):
    judges.receive("carol@none.example", "as-sent")
    octets = judges.kept("as-sent")
    whole = octets[octets.index(b"ARC-Seal:") :].replace(b"\n", b"\r\n")
    changed = whole.replace(b"Good morning", b"Pay me").replace(b"as-sent", b"changed")

    judges.hand_over(changed, "x@fwd.mxax.test")

    said = said_in(judges.kept("changed"))
    assert said.count(DKIM, r"dkim=pass") == 0, said
    assert said.count(RSPAMD, r"(dkim|arc|spf)=pass") == 0, said
    assert said.count(DMARC, r"dmarc=pass") == 0, said
