"""Text as mail encodes it, read leniently: encoded words, base64, whatever charset it claims.

Nothing raises: what cannot be decoded is shown as it stands, or left out.
"""

import base64
import binascii
import codecs
import quopri
import re

_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*+)\?=")
_BETWEEN_WORDS = re.compile(r"\?=[ \t\r\n]++=\?")
_CHARSET = re.compile(r"utf|iso|windows|cp|koi|gb|big5|shift|euc|us-ascii|ascii|mac", re.I)
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]+")


def decoded_words(text: str) -> str:
    """A field's value with its encoded words decoded (RFC 2047), leniently."""
    return _ENCODED_WORD.sub(_word, _BETWEEN_WORDS.sub("?==?", text))


def _word(match: "re.Match[str]") -> str:
    payload = match[3].encode("ascii", "ignore")
    is_base64 = match[2] in "bB"
    octets = decoded_base64(payload) if is_base64 else quopri.decodestring(payload, header=True)
    return decoded_text(octets, match[1].split("*", 1)[0])


def decoded_base64(encoded: bytes) -> bytes:
    """What can be read of it, whatever else stands between."""
    clean = _NOT_BASE64.sub(b"", encoded)
    if len(clean) % 4 == 1:
        clean = clean[:-1]
    try:
        return base64.b64decode(clean + b"=" * (-len(clean) % 4))
    except binascii.Error:
        return b""


def decoded_text(octets: bytes, charset: str) -> str:
    """The octets in that charset; in UTF-8 where nobody knows it."""
    return octets.decode(_codec(charset), "replace")


def _codec(charset: str) -> str:
    name = charset.strip().strip("'\"")
    if not _CHARSET.match(name):  # some codecs of Python are no charsets and take quadratic time
        return "utf-8"
    try:
        found = codecs.lookup(name)
        b"".decode(found.name)  # not for those that give something else than text
    except (LookupError, ValueError):
        return "utf-8"
    return found.name
