"""Our ARC seals before Mail::DKIM and rspamd (E9), and chains in which others sealed too."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.delivery.dns_zone import Zone, serve
from tests.mail.authentication.test_seal import (
    CHAIN,
    DAMAGE,
    FAIL,
    MESSAGE,
    PASS,
    PEM,
    RECORDS,
    new_set,
    sealed,
    status_of,
)
from tests.ports import free_port
from tests.promises.test_rspamd_verifies import CONFIGURATION as RSPAMD
from tests.promises.test_rspamd_verifies import _running, _strings
from tests.promises.test_third_verifier import SCRIPT, perl

__all__ = ["perl"]

pytestmark = pytest.mark.needs_debian

VERIFIER = SCRIPT.replace("Mail::DKIM::Verifier", "Mail::DKIM::ARC::Verifier").replace(
    "print encode_json([map { [$_->algorithm, $_->domain, $_->result, $_->result_detail] } $verifier->signatures]);",
    "print encode_json([$verifier->result, $verifier->result_detail]);",
)  # fmt: skip
SIGNER = r"""
use strict; use warnings; use Mail::DKIM::ARC::Signer;
my $signer = Mail::DKIM::ARC::Signer->new(
    Algorithm => 'rsa-sha256', Chain => $ARGV[2], Domain => 'fwd.mxax.test', SrvId => 'other.test',
    Selector => 'arc', KeyFile => $ARGV[0], Headers => 'From:Subject:To');
open my $mail, '<:raw', $ARGV[1] or die; $signer->PRINT(<$mail>); $signer->CLOSE;
die $signer->{details} // 'no seal' if ($signer->result // '') ne 'sealed';
binmode STDOUT; print map { s/\r?\n/\r\n/gr } map { "$_\r\n" } $signer->as_strings;
"""

CONFIGURATION = (
    RSPAMD
    + """
arc {{ check_local = true; check_authed = true; }}
modules {{ path = "/usr/share/rspamd/plugins/arc.lua"; }}
"""
)


def run_perl(script: str, perl: dict[str, str], *arguments: str | Path) -> bytes:
    done = subprocess.run(
        ["perl", "-e", script, *arguments], env=perl, capture_output=True, timeout=120
    )
    if b"Can't locate" in done.stderr:
        pytest.skip(f"Mail::DKIM does not load: {done.stderr[:300]!r}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def judged(octets: bytes, folder: Path, perl: dict[str, str]) -> str:
    (folder / "m.eml").write_bytes(octets)
    (folder / "zone.json").write_text(json.dumps(RECORDS))
    result, _ = json.loads(run_perl(VERIFIER, perl, folder / "zone.json", folder / "m.eml"))
    return result


def sealed_elsewhere(octets: bytes, chain: str, folder: Path, perl: dict[str, str]) -> bytes:
    """The message with one more set, made by Mail::DKIM from a result that it is given."""
    given = b"Authentication-Results: other.test; arc=%b; spf=pass smtp.mailfrom=a@b.test\r\n"
    octets = given % chain.encode() + octets
    (folder / "m.eml").write_bytes(octets)
    (folder / "key").write_bytes(PEM)
    return run_perl(SIGNER, perl, folder / "key", folder / "m.eml", chain) + octets


@pytest.mark.parametrize("length", [1, 2, 3, 10, 50])
def test_mail_dkim_takes_our_chains(length, perl, tmp_path):
    assert judged(sealed(length), tmp_path, perl) == "pass"


@pytest.mark.parametrize(("old", "new"), DAMAGE)
def test_mail_dkim_sees_the_damage(old, new, perl, tmp_path):
    assert judged(CHAIN.replace(old, new, 1), tmp_path, perl) != "pass"


def test_mail_dkim_sees_that_we_found_a_chain_broken(perl, tmp_path):
    broken = CHAIN.replace(b"From: Ada", b"From: Eve")

    assert judged(new_set(broken, FAIL) + broken, tmp_path, perl) == "fail"


def test_we_go_on_where_another_began(perl, tmp_path):
    first = sealed_elsewhere(MESSAGE, "none", tmp_path, perl)

    both = new_set(first, PASS) + first

    assert status_of(both) == "pass"
    assert judged(both, tmp_path, perl) == "pass"


def test_another_goes_on_where_we_began(perl, tmp_path):
    both = sealed_elsewhere(sealed(2), "pass", tmp_path, perl)

    assert b"i=3; other.test" in both
    assert status_of(both) == "pass"
    assert judged(both, tmp_path, perl) == "pass"


@pytest.fixture(scope="module")
def rspamd(tmp_path_factory) -> Iterator[int]:
    """The port of an rspamd that asks our zone."""
    program = shutil.which("rspamd", path="/usr/bin:/usr/sbin:/usr/local/bin")
    if program is None:
        pytest.skip("rspamd is not installed (Debian: apt install rspamd)")
    folder, port = tmp_path_factory.mktemp("rspamd"), free_port()
    (folder / "suffixes").write_text("test\norg\nnet\n")
    zone = Zone({name: [("TXT", _strings(text))] for name, text in RECORDS.items()})
    with serve(zone):
        text = CONFIGURATION.format(folder=folder, dns=zone.address, port=port)
        (folder / "rspamd.conf").write_text(text)
        with _running(program, folder, port):
            yield port


def symbols(port: int, octets: bytes) -> set[str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/checkv2", data=octets)
    with urllib.request.urlopen(request, timeout=20) as response:
        return {name for name in json.load(response)["symbols"] if re.match("ARC_", name)}


@pytest.mark.parametrize("length", [1, 2, 3, 10])
def test_rspamd_takes_our_chains(rspamd, length):
    assert symbols(rspamd, sealed(length)) == {"ARC_ALLOW"}


@pytest.mark.parametrize(("old", "new"), DAMAGE)
def test_rspamd_sees_the_damage(rspamd, old, new):
    found = symbols(rspamd, CHAIN.replace(old, new, 1))

    assert found & {"ARC_REJECT", "ARC_INVALID", "ARC_DNSFAIL"}
    assert "ARC_ALLOW" not in found
