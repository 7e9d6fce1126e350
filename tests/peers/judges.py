"""What postmasters put in front of a mailbox to judge mail: opendkim, opendmarc and rspamd as milters.

They ask the DNS by port 53 alone, so the zone of the test answers there too, at a loopback address
of its own; the milters run in a mount namespace where resolv.conf names it. Nothing of the system is
changed. opendmarc is fetched and unpacked where it is not installed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from dnslib.server import DNSLogger, DNSServer

from tests.delivery.dns_zone import Zone
from tests.peers.debian import LIBRARIES, need_root, unpacked
from tests.ports import free_port

RESOLVER = "127.0.0.26"
PACKAGES = ("opendmarc", "libopendmarc2", "libspf2-2")


@contextlib.contextmanager
def asked_at_port_53(zone: Zone) -> Iterator[None]:
    """The zone at RESOLVER, for programs that know no other port."""
    quiet = DNSLogger(log="", logf=lambda _: None)
    try:
        servers = [
            DNSServer(zone, address=RESOLVER, port=53, tcp=tcp, logger=quiet)
            for tcp in (False, True)
        ]
    except OSError as error:
        pytest.skip(f"port 53 of {RESOLVER}: {error}")
    for server in servers:
        threading.Thread(target=server.server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield
    finally:
        for server in servers:
            server.server.shutdown()
            server.server.server_close()


def program(name: str, folder: Path) -> tuple[str, str]:
    """Where opendmarc is, and the folders of its libraries."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin")
    if found is not None:
        return found, ""
    root = unpacked(folder, *PACKAGES)
    return str(root / "usr/sbin" / name), f"{root / LIBRARIES}:{root / 'usr/lib'}"


@contextlib.contextmanager
def milter(
    command: Sequence[str | Path], folder: Path, port: int, libraries: str = ""
) -> Iterator[int]:
    """Its port, while it runs with our resolv.conf."""
    resolv, log = folder / "resolv.conf", folder / "log"
    resolv.write_text(f"nameserver {RESOLVER}\n")
    words = shlex.join(map(str, command))
    script = (
        f"set -e; mount --make-rprivate /; mount --bind {resolv} /etc/resolv.conf; exec {words}"
    )
    with open(log, "wb") as output:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder,
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
        )  # fmt: skip
    try:
        _wait(process, port, log)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    said = log.read_text(errors="replace")[-800:]
    if "unshare" in said or "mount:" in said:
        pytest.skip(f"no namespaces here: {said.strip()}")
    raise AssertionError(f"it does not listen: {said}")


UNBOUND = f"""
server:
  do-not-query-localhost: no
  module-config: "iterator"
  local-zone: "test." nodefault
forward-zone:
  name: "."
  forward-addr: {RESOLVER}@53
"""


@contextlib.contextmanager
def opendkim(folder: Path, name: str) -> Iterator[int]:
    need_root("opendkim", "unshare")
    folder.mkdir()
    port = free_port()
    (folder / "opendkim.conf").write_text(
        f"Mode v\nSocket inet:{port}@127.0.0.1\nBackground no\nSyslog no\nAuthservID {name}\n"
        f"ResolverConfiguration {folder / 'unbound.conf'}\nAlwaysAddARHeader yes\nMaximumSignaturesToVerify 9\nInternalHosts 192.0.2.1\n"
    )
    (folder / "unbound.conf").write_text(UNBOUND)
    with milter(["opendkim", "-f", "-x", folder / "opendkim.conf"], folder, port):
        yield port


@contextlib.contextmanager
def opendmarc(folder: Path, name: str, *, believes: str) -> Iterator[int]:
    """Of signatures it believes the milter of that name. Its SPF passes whatever is on loopback."""
    need_root("unshare")
    folder.mkdir()
    port, suffixes = free_port(), folder / "suffixes"
    suffixes.write_text("example\ntest\n")
    where, libraries = program("opendmarc", folder)
    ignored = folder / "ignored"
    ignored.write_text("192.0.2.1\n")
    (folder / "opendmarc.conf").write_text(
        f"Socket inet:{port}@127.0.0.1\nBackground no\nSyslog no\nAuthservID {name}\n"
        f"TrustedAuthservIDs {believes}\nSPFIgnoreResults yes\nSPFSelfValidate yes\n"
        f"PublicSuffixList {suffixes}\nIgnoreHosts {ignored}\nRejectFailures no\n"
    )
    command = [where, "-f", "-c", folder / "opendmarc.conf"]
    with milter(command, folder, port, libraries) as started:
        yield started


RSPAMD = {
    "options.inc": (
        'tempdir = "{folder}"; local_addrs = ["192.0.2.1"]; dns {{ nameserver = ["{resolver}:53"]; }}'
    ),
    "logging.inc": 'type = "console"; level = "info";',
    "worker-normal.inc": "enabled = false;",
    "worker-controller.inc": "enabled = false;",
    "worker-proxy.inc": (
        'bind_socket = "127.0.0.1:{port}"; milter = yes; count = 1; timeout = 60s;'
        ' upstream "local" {{ default = yes; self_scan = yes; }}'
    ),
    "milter_headers.conf": (
        'use = ["authentication-results"]; skip_local = false;'
        " routines {{ authentication-results {{ remove = 0; }} }}"
    ),
    "actions.conf": "reject = 10000; add_header = 9000; greylist = 8000;",
    "greylist.conf": "enabled = false;",
    "spf.conf": "check_local = true;",
    "dkim.conf": "check_local = true;",
    "dmarc.conf": "check_local = true;",
    "arc.conf": "check_local = true; sign_authenticated = false; sign_local = false; sign_inbound = false;",
    "dkim_signing.conf": "enabled = false;",
}


@contextlib.contextmanager
def rspamd(folder: Path) -> Iterator[int]:
    """In Debian's configuration, apart from places and that it refuses nothing."""
    need_root("rspamd", "unshare")
    port, local = free_port(), folder / "etc/local.d"
    local.mkdir(parents=True)
    for name, text in RSPAMD.items():
        (local / name).write_text(text.format(folder=folder, port=port, resolver=RESOLVER) + "\n")
    places = {"DBDIR": folder, "RUNDIR": folder, "LOGDIR": folder, "LOCAL_CONFDIR": local.parent}
    command = ["rspamd", "--no-fork", "--insecure", "-c", "/etc/rspamd/rspamd.conf"]
    command += [f"--var={name}={place}" for name, place in places.items()]
    with milter(command, folder, port) as started:
        yield started
