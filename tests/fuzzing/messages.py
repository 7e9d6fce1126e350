"""Real messages made worse: pieces moved, doubled, cut, replaced by what parsers stumble over."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

FIXTURES = Path(__file__).parent.parent / "fixtures"
MEGABYTE = 1_000_000

SEALED = (
    b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=lists.example; s=s1; t=1795000000; b=QUJD\r\n"
    b"ARC-Message-Signature: i=1; a=rsa-sha256; c=relaxed/relaxed; d=lists.example; s=s1;\r\n"
    b"\th=from:to:subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=QUJD\r\n"
    b"ARC-Authentication-Results: i=1; lists.example; dkim=pass header.d=author.example;\r\n"
    b"\tdmarc=pass (p=reject) header.from=author.example; spf=pass smtp.mailfrom=a@b.example\r\n"
    b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/simple; d=author.example; s=s2; l=4;\r\n"
    b"\tt=1795000000; x=1999999999; h=From : To:Subject; i=@mail.author.example;\r\n"
    b"\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=QUJD QUJD\r\n"
    b"Authentication-Results: mx.test 1; spf=pass smtp.helo=x; dkim=pass header.b=abc; none\r\n"
    b'From: "Doe, John" (a (b) c) <john@author.example>, =?utf-8?q?J=C3=B6?= <j@b.example>\r\n'
    b"Sender: group: a@b.example, <@x.example:c@d.example>;\r\n"
    b"Received: from a (b [192.0.2.1]) by c with ESMTP id d for <e@f.example>; now\r\n"
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=x\r\n"
    b"Auto-Submitted: auto-replied\r\nX-Spam-Flag: YES\r\nX-Mxax-Route: QUJDREVG\r\n"
    b"\r\n--x\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n"
    b"\r\nFinal-Recipient: rfc822; e@f.example\r\nAction: failed\r\nStatus: 5.1.1\r\n--x--\r\n"
)


def _fixtures() -> list[bytes]:
    found = [path for path in sorted(FIXTURES.rglob("*")) if path.suffix in (".eml", ".msg")]
    found += sorted((FIXTURES / "dkim").glob("*.message"))
    octets = [path.read_bytes() for path in found]
    return [one if b"\r\n" in one else one.replace(b"\n", b"\r\n") for one in octets]


MESSAGES = (SEALED, *(one for one in _fixtures() if len(one) < 100_000))
TOKENS = (
    *(b"(", b")", b'"', b"\\", b"<", b">", b"@", b":", b";", b",", b".", b"=", b"/", b"%{", b"}"),
    *(b" ", b"\t", b"\r\n ", b"\r\n", b"\r\n\r\n", b"\0", b"\r", b"\n", b"\xff", b"\xc2\xa0", b"\xad"),
    *(b"=?utf-8?q?=40?=", b"=?utf-8?b?QA==?=", b"=?x?", b"?=", b"=?utf-7?q?+AEA-?=", b"()", b'""'),
    *(b"From: a@b.example\r\n", b"From : x@y.example\r\n", b"Resent-From: ", b"Received: x\r\n"),
    *(b"DKIM-Signature: ", b"ARC-Seal: i=", b"ARC-Message-Signature: i=2;", b"cv=pass", b"b=", b"bh="),
    *(b"l=99999999999999999999", b"t=-1", b"x=0", b"h=from:from:", b"i=51;", b"d=.", b"s=", b"c=/"),
    *(b"dmarc=pass header.from=", b"v=DMARC1; p=reject", b"v=spf1 ", b"include:", b"%{ir}", b"k=rsa; p="),
    *("\u202e\u00ad\uff20\u3002\u0130".encode(), b"xn--", b"xn--a", b"[192.0.2.1]", b"\xf0\x9f\x92\xa9"),
    *(b"--x\r\n", b"Content-Type: multipart/mixed; boundary=", b"boundary*0*=utf-8''%", b"charset=idna"),
)  # fmt: skip

_place = st.integers(0, 1_000_000)
_short = st.binary(max_size=12) | st.sampled_from(TOKENS)
_length = st.integers(0, 400)
_EDIT = st.one_of(
    st.tuples(st.just("insert"), _place, _short),
    st.tuples(st.just("replace"), _place, _length, _short),
    st.tuples(st.just("delete"), _place, _length),
    st.tuples(st.just("double"), _place, _length, st.integers(2, 60)),
    st.tuples(st.just("move"), _place, _length, _place),
    st.tuples(st.just("line"), _place, st.sampled_from(TOKENS), _short),
)
_TIMES = st.sampled_from([300, 5_000, 5_000, 30_000, 1_000_000])
_FLOOD = st.tuples(st.just("flood"), _place, st.lists(_short, min_size=1, max_size=3), _TIMES)


def _applied(octets: bytes, edit: tuple) -> bytes:
    kind, place = edit[0], edit[1] % (len(octets) + 1)
    if kind == "insert":
        return octets[:place] + edit[2] + octets[place:]
    if kind == "replace":
        return octets[:place] + edit[3] + octets[place + edit[2] :]
    if kind == "delete":
        return octets[:place] + octets[place + edit[2] :]
    if kind == "double":
        piece = octets[place : place + edit[2]] * edit[3]
        return octets[:place] + piece + octets[place:]
    if kind == "move":
        piece = octets[place : place + edit[2]]
        rest = octets[:place] + octets[place + edit[2] :]
        to = edit[3] % (len(rest) + 1)
        return rest[:to] + piece + rest[to:]
    if kind == "line":
        start = octets.rfind(b"\r\n", 0, place) + 2
        return octets[:start] + edit[2] + edit[3] + b"\r\n" + octets[start:]
    piece = b"".join(edit[2]) or b" "
    return octets[:place] + piece * (edit[3] // len(piece)) + octets[place:]


@st.composite
def messages(draw: st.DrawFn, most: int = MEGABYTE) -> bytes:
    """One message, at most `most` octets long; now and then full of a single thing."""
    octets = draw(st.sampled_from(MESSAGES))
    for edit in draw(st.lists(_EDIT, max_size=8)):
        octets = _applied(octets, edit)
    if draw(st.integers(0, 9)) == 0:
        octets = _applied(octets, draw(_FLOOD))
    return octets[:most]
