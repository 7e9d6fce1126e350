"""Debian's OpenSMTPD takes our mail."""

from __future__ import annotations

import pytest

from tests.peers.conftest import OPENSMTPD
from tests.peers.debian import (
    in_a_world_of_its_own,
    need_root,
    open_folder,
    running,
    unpacked,
)

pytestmark = [pytest.mark.needs_debian, pytest.mark.slow, pytest.mark.journey]

CONFIGURATION = """
listen on {address} port {port} hostname mx.opensmtpd.example
action "keep" maildir "{folder}/mail" virtual {{ "@opensmtpd.example" = "mail" }}
match from any for domain "opensmtpd.example" action "keep"
"""
FOLDERS = """
mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd
chmod 711 /var/spool/smtpd
"""


def test_opensmtpd_takes_our_mail(world):
    need_root("unshare")
    with open_folder() as folder:
        root = unpacked(folder, "opensmtpd", "libevent-2.1-7", "libdb5.3")
        (folder / "mail").mkdir()
        (folder / "mail").chmod(0o777)
        words = {"address": OPENSMTPD, "port": world.port, "folder": folder}
        (folder / "smtpd.conf").write_text(CONFIGURATION.format(**words))
        smtpd = [str(root / "usr/sbin/smtpd"), "-d", "-f", f"{folder}/smtpd.conf"]
        command = in_a_world_of_its_own(
            smtpd, folder, root=root, users=["opensmtpd", "opensmtpq"], prepare=FOLDERS.format(root=root)
        )  # fmt: skip
        with running(command, folder, OPENSMTPD, world.port):
            trace = world.service.send("ok-opensmtpd@ada.example", subject="for opensmtpd")

            log = (folder / "server.log").read_text
            world.wait_for(lambda: "smtp message" in log(), log)
            story = world.wait_for(lambda: delivered(world.service.manage("trace", trace)), log)

    assert "mx.opensmtpd.example" in story


def delivered(story: str) -> str:
    return story if "elivered" in story else ""
