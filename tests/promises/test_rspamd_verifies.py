"""Our signatures before rspamd: of RSA a fourth verifier, of Ed25519 (RFC 8463) the third.

It has its own parser, canonicalisation and cryptography, apart from dkimpy, OpenDKIM and Mail::DKIM.
Debian's package runs with a configuration of a few lines; its DNS is a zone of the test's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mail.signing import Algorithm
from tests.delivery.dns_zone import Zone, serve
from tests.mail.test_signing import DOMAIN, MESSAGE, keys, pairs, records, signed
from tests.ports import free_port

__all__ = ["keys", "pairs", "records"]

pytestmark = pytest.mark.needs_debian

CONFIGURATION = """
options {{
  filters = "dkim";
  pidfile = null; rrd = null; history_file = null;
  tempdir = "{folder}"; cache_file = "{folder}/cache"; hs_cache_dir = "{folder}";
  control_socket = "{folder}/control mode=0600";
  url_tld = "{folder}/suffixes";
  disable_hyperscan = true;
  dns {{ nameserver = ["{dns[0]}:{dns[1]}"]; timeout = 2s; retransmits = 2; }}
}}
logging {{ type = "console"; level = "info"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
dkim {{ check_local = true; check_authed = true; }}
"""
SELECTORS = {algorithm: f"{DOMAIN}:s=s-{algorithm[:3]}" for algorithm in Algorithm}


@dataclass(frozen=True)
class Rspamd:
    port: int
    log: Path

    def judges(self, octets: bytes) -> dict[str, list[str]]:
        """The DKIM symbols with `domain:s=selector` of each signature that got one."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/checkv2", data=octets)
        with urllib.request.urlopen(request, timeout=20) as response:
            symbols = json.load(response)["symbols"]
        return {
            name: sorted(symbol.get("options", []))
            for name, symbol in symbols.items()
            if name.startswith("R_DKIM_")
        }


@pytest.fixture(scope="module")
def rspamd(records, tmp_path_factory) -> Iterator[Rspamd]:
    program = shutil.which("rspamd", path="/usr/bin:/usr/sbin:/usr/local/bin")
    if program is None:
        pytest.skip("rspamd is not installed (Debian: apt install rspamd)")
    folder, port = tmp_path_factory.mktemp("rspamd"), free_port()
    (folder / "suffixes").write_text("test\norg\nnet\n")
    zone = Zone({name: [("TXT", _strings(text))] for name, text in records.items()})
    with serve(zone):
        text = CONFIGURATION.format(folder=folder, dns=zone.address, port=port)
        (folder / "rspamd.conf").write_text(text)
        with _running(program, folder, port) as server:
            yield server


@contextlib.contextmanager
def _running(program: str, folder: Path, port: int) -> Iterator[Rspamd]:
    log = folder / "log"
    as_root = ["--insecure"] if os.geteuid() == 0 else []
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [program, "--no-fork", *as_root, "-c", str(folder / "rspamd.conf")],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder,
        )  # fmt: skip
    try:
        _wait_until_it_answers(process, port, log)
        yield Rspamd(port, log)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):  # fmt: skip
            return
        time.sleep(0.1)
    raise AssertionError(f"rspamd does not answer: {log.read_text(errors='replace')[-1500:]}")


def _strings(text: str) -> list[str]:
    return [text[start : start + 255] for start in range(0, len(text), 255)]


def test_rspamd_accepts_both_signatures(rspamd, keys):
    found = rspamd.judges(signed(MESSAGE, keys))

    assert found == {"R_DKIM_ALLOW": sorted(SELECTORS.values())}, rspamd.log.read_text()[-1500:]


@pytest.mark.parametrize("algorithm", Algorithm)
def test_rspamd_accepts_each_signature_that_stands_alone(rspamd, keys, algorithm):
    (key,) = (one for one in keys if one.algorithm is algorithm)

    found = rspamd.judges(signed(MESSAGE, [key]))

    assert found == {"R_DKIM_ALLOW": [SELECTORS[algorithm]]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"the body", b"The body"),
        (b"From: Ada", b"From: Eve"),
        (b"\r\nSubject:", b"\r\nSubject: second\r\nSubject:"),
        (b"X-Other:", b"Reply-To: eve@evil.test\r\nX-Other:"),
    ],
)
def test_rspamd_sees_what_was_changed_or_added(rspamd, keys, old, new):
    octets = signed(MESSAGE, keys).replace(old, new, 1)

    found = rspamd.judges(octets)

    assert found == {"R_DKIM_REJECT": sorted(SELECTORS.values())}


def test_rspamd_takes_what_transport_may_change(rspamd, keys):
    octets = signed(MESSAGE, keys).replace(b"Hello  Ben,\t", b"Hello Ben,")

    assert "R_DKIM_ALLOW" in rspamd.judges(octets)
