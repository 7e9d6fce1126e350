"""Our signatures before Mail::DKIM, the third verifier that shares no code with dkimpy or OpenDKIM.

It is Debian's, installed or fetched and unpacked beside the system; the keys come from a file.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from mail.signing import Algorithm
from tests.mail.test_signing import MESSAGE, keys, pairs, records, signed
from tests.peers.debian import LIBRARIES, unpacked

__all__ = ["keys", "pairs", "records"]

pytestmark = pytest.mark.needs_debian

PACKAGES = (
    *("libmail-dkim-perl", "libcrypt-openssl-rsa-perl", "libcrypt-openssl-bignum-perl"),
    *("libmail-authenticationresults-perl", "libnet-dns-perl", "libmailtools-perl"),
    *("libcryptx-perl", "libjson-pp-perl", "liberror-perl", "libgetopt-long-descriptive-perl"),
)
SCRIPT = r"""
use strict; use warnings;
use JSON::PP; use Mail::DKIM::Verifier; use Mail::DKIM::DNS; use Net::DNS::Packet; use Net::DNS::RR;
open my $file, '<', $ARGV[0] or die; local $/; my $records = decode_json(<$file>);
package Zone {
    sub new { bless {}, shift } sub errorstring { 'NXDOMAIN' } sub udppacketsize { 4096 }
    sub send { my ($self, $name, $type) = @_;
        my $reply = Net::DNS::Packet->new($name, 'TXT');
        my $text = $records->{$name} or do { $reply->header->rcode('NXDOMAIN'); return $reply };
        $reply->push(answer => Net::DNS::RR->new(owner => $name, type => 'TXT', txtdata => [$text =~ /(.{1,255})/gs]));
        return $reply }
    sub query { my $self = shift; my $reply = $self->send(@_); return $reply->answer ? $reply : undef }
    sub bgsend { my $self = shift; return $self->send(@_) } sub bgisready { 1 } sub bgbusy { 0 } sub bgread { $_[1] }
    sub can { my ($self, $what) = @_; return UNIVERSAL::can($self, $what) }
}
Mail::DKIM::DNS::resolver(Zone->new);
my $verifier = Mail::DKIM::Verifier->new;
open my $mail, '<:raw', $ARGV[1] or die; $verifier->PRINT(<$mail>); $verifier->CLOSE;
print encode_json([map { [$_->algorithm, $_->domain, $_->result, $_->result_detail] } $verifier->signatures]);
"""


@pytest.fixture(scope="module")
def perl(tmp_path_factory) -> dict[str, str]:
    """The environment in which perl finds Mail::DKIM."""
    if subprocess.run(["perl", "-MMail::DKIM", "-MCrypt::PK::Ed25519", "-e1"], capture_output=True).returncode == 0:  # fmt: skip
        return dict(os.environ)
    root = unpacked(tmp_path_factory.mktemp("perl"), *PACKAGES)
    places = [root / "usr/share/perl5", *(root / LIBRARIES).glob("perl5/*")]
    return {**os.environ, "PERL5LIB": ":".join(map(str, places))}


def judged(octets: bytes, records: dict[str, str], folder: Path, perl: dict[str, str]) -> list:
    """(algorithm, domain, result, detail) of each signature."""
    (folder / "m.eml").write_bytes(octets)
    (folder / "zone.json").write_text(json.dumps(records))
    done = subprocess.run(
        ["perl", "-e", SCRIPT, folder / "zone.json", folder / "m.eml"],
        env=perl, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    if "Can't locate" in done.stderr:
        pytest.skip(f"Mail::DKIM does not load: {done.stderr[:300]}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_mail_dkim_accepts_what_it_can_read(keys, records, perl, tmp_path):
    found = judged(signed(MESSAGE, keys), records, tmp_path, perl)

    assert [one[:2] for one in found] == [[str(one), "fwd.mxax.test"] for one in Algorithm]
    assert found[0][2] == "pass"
    # Debian 12's version does not know Ed25519 (RFC 8463): it must say just that.
    assert found[1][2] == "pass" or "ed25519" in found[1][3], found[1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"the body", b"The body"),
        (b"From: Ada", b"From: Eve"),
        (b"\r\nSubject:", b"\r\nSubject: second\r\nSubject:"),
        (b"X-Other:", b"Reply-To: eve@evil.test\r\nX-Other:"),
    ],
)
def test_mail_dkim_sees_what_was_changed_or_added(keys, records, perl, tmp_path, old, new):
    octets = signed(MESSAGE, keys).replace(old, new, 1)

    found = judged(octets, records, tmp_path, perl)

    assert found[0][2] == "fail"
    assert found[1][2] in ("fail", "invalid")
