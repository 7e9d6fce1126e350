"""Mail::DKIM, which shares no code with dkimpy or with us, says the same of signatures and chains."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.mail.authentication.chains import chain, sealed, zone_of
from tests.mail.authentication.signed_mail import MESSAGE, NOW, signed, signer, verdicts
from tests.promises.test_third_verifier import SCRIPT, perl

__all__ = ["perl"]

pytestmark = pytest.mark.needs_debian

READS, _, _ = SCRIPT.partition("my $verifier")
VERIFY = (
    "use Mail::DKIM::ARC::Verifier;"
    + READS
    + r"""
my @found;
for my $name (@ARGV[1 .. $#ARGV]) {
    open my $mail, '<:raw', $name or die; my $octets = <$mail>;
    my $verifier = Mail::DKIM::Verifier->new; $verifier->PRINT($octets); $verifier->CLOSE;
    my $chain = Mail::DKIM::ARC::Verifier->new; $chain->PRINT($octets); $chain->CLOSE;
    push @found, [[map { $_->result } $verifier->signatures], $chain->result];
}
print encode_json(\@found);
"""
)
# RFC 6376 has these broken (5.4; 3.5, l=); Mail::DKIM lets them pass.
LENIENT = {"no From", "limit beyond the body"}
FORMS = [f"{header}/{body}" for header in ("simple", "relaxed") for body in ("simple", "relaxed")]


def messages() -> dict[str, bytes]:
    good = signed(MESSAGE)
    found = {f"signed {c}": signed(MESSAGE, c=c) for c in FORMS}
    found |= {
        "added blank lines": good + b"\r\n\r\n",
        "changed body": good.replace(b"body", b"BODY"),
        "changed field": good.replace(b"Subject:  An", b"Subject: The"),
        "folded otherwise": good.replace(b"Subject:  An", b"Subject:\r\n An"),
        "two signatures": signed(good),
        "expired": signed(MESSAGE, x=str(NOW - 1_000)),
        "identity elsewhere": signed(MESSAGE, i="@evil.test"),
        "no From": signed(MESSAGE, h="to:subject"),
        "limit beyond the body": signed(MESSAGE, l="999"),
    }
    for hops in (1, 2, 5, 50):
        found[f"{hops} hops"] = chain(hops)
    three = chain(3)
    found |= {
        "a hop less": sealed(chain(1), 3, cv="pass"),
        "status of a beginner": sealed(chain(2), 3, cv="none"),
        "changed results": three.replace(b"mx.hop2.test; spf=pass", b"mx.hop2.test; spf=fail"),
        "changed after the seal": three.replace(b"Hello", b"Hallo"),
        "list, sealed again": sealed(three.replace(b"Hello", b"Hallo"), 4),
        "called broken": sealed(three, 4, cv="fail"),
    }
    return found


def test_mail_dkim_says_the_same(perl, tmp_path):
    cases = messages()
    records = signer().zone | zone_of(50)
    (tmp_path / "zone.json").write_text(json.dumps(records))
    for number, octets in enumerate(cases.values()):
        (tmp_path / str(number)).write_bytes(octets)
    files = [str(tmp_path / str(number)) for number in range(len(cases))]

    done = subprocess.run(
        ["perl", "-e", VERIFY, tmp_path / "zone.json", *files],
        env=perl, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    if "Can't locate" in done.stderr:
        pytest.skip(f"Mail::DKIM does not load: {done.stderr[:300]}")
    assert done.returncode == 0, done.stderr
    theirs = dict(zip(cases, json.loads(done.stdout), strict=True))
    ours = {name: verdicts(octets, records) for name, octets in cases.items()}
    differ = {
        name
        for name, (signatures, arc) in theirs.items()
        if [one.passed for one in ours[name].dkim] != [result == "pass" for result in signatures]
        or (ours[name].arc.result.value == "pass") is not (arc == "pass")
    }
    assert differ == LENIENT
    assert sum(one.arc.result.value == "pass" for one in ours.values()) == 5
