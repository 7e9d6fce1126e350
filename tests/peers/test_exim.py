"""Debian's exim4 takes our mail."""

from __future__ import annotations

import pytest

from tests.peers.conftest import EXIM
from tests.peers.debian import (
    files_below,
    in_a_world_of_its_own,
    need_root,
    open_folder,
    running,
    unpacked,
)

pytestmark = [pytest.mark.needs_debian, pytest.mark.slow, pytest.mark.journey]

CONFIGURATION = """
primary_hostname = mx.exim.example
domainlist local_domains = exim.example
acl_smtp_rcpt = check
exim_user = mail
exim_group = mail
never_users =
spool_directory = {folder}/spool
log_file_path = {folder}/log/%s
pid_file_path =
queue_only
keep_environment =
tls_advertise_hosts =
begin acl
check:
  accept domains = +local_domains
  deny
"""


def test_exim_takes_our_mail(world):
    need_root("unshare")
    with open_folder() as folder:
        root = unpacked(
            folder, "exim4-daemon-light", "libidn12", "libgnutls-dane0", "libunbound8",
            "libevent-2.1-7", "libnsl2", "libtirpc3", "libdb5.3",
        )  # fmt: skip
        program = root / "usr/sbin/exim4"
        for name in ("spool", "log"):
            (folder / name).mkdir()
            (folder / name).chmod(0o777)
        (folder / "exim.conf").write_text(CONFIGURATION.format(folder=folder))
        exim = [
            *(str(program), "-C", f"{folder}/exim.conf", "-bdf"),
            *("-oX", f"<; [{EXIM}]:{world.port}"),
        ]
        command = in_a_world_of_its_own(exim, folder, root=root, users=["Debian-exim"])
        with running(command, folder, EXIM, world.port):
            world.service.send("ok-exim@ada.example", subject="for exim")

            log = world.wait_for(lambda: accepted(logs(folder)), lambda: logs(folder))
            spooled = b"".join(files_below(folder / "spool/input"))

    assert "<= SRS0=" in log
    assert b"Subject: for exim" in spooled
    assert b"ok-exim.exim@exim.example" in spooled


def accepted(log: str) -> str:
    return log if "<= SRS0=" in log else ""


def logs(folder) -> str:
    return "".join(one.read_text(errors="replace")[-800:] for one in (folder / "log").glob("*"))
