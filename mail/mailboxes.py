"""Whom a reader could take for the author: the domains in an address list field.

The rule that protects other people's names must not depend on a parser agreeing with the reader's
mail program. A field that reads cleanly as RFC 5322 (3.4) gives its addr-specs and nothing else;
any other gives every `@domain` in it, seen in several ways: as it stands, without comments, without
quotes and white space, and with its encoded words decoded. Too many is safe, too few is not.
"""

import base64
import binascii
import codecs
import quopri
import re
from collections.abc import Iterable

from mail.address import canonical_domain
from mail.errors import BadDomain, TooManyAuthors

_MAX_CLEAN_OCTETS = 8192  # no address list that people write is longer
_MAX_FOREIGN_NAMES = 100  # not plain ASCII, so each costs a mapping

# Possessive only where one character repeats: before Python 3.11.5 (Debian 12 has 3.11.2) a group
# that repeats so goes on behind what its last, failed round had read. An atomic group does not.
_AT = "@\uff20\ufe6b"  # two look-alikes that some programs fold to the real one
_ATEXT = rf"[^\x00-\x20()<>\[\]:;\\,.\"\x7f-\xa0{_AT}]"
_NAME_LETTER = rf"[^\x00-,/:-@\[-^`{{-\xa0{_AT}]"  # or dot: what stands in a domain in any script
_ATOM = rf"{_ATEXT}++(?>(?:\.{_ATEXT}++)*)"
_QUOTED = r'"[^"\\\r\n]*+(?>(?:\\.[^"\\\r\n]*+)*)"'
_WORD = rf"(?>(?:{_ATEXT}|\.)+)|{_QUOTED}"
_PHRASE = rf"(?>(?:\s*+(?:{_WORD}))*)"
_LOCAL = rf"(?!=\?)(?:{_ATOM}|{_QUOTED})"
_SPEC = rf"{_LOCAL}@({_NAME_LETTER}++|\[[^\[\]\\@\s]*+\])"

_PLAIN = re.compile(
    r"(?:[A-Za-z0-9 !#$%&'*+/=?^_`{|}~.-]*+<|\"[^\"\\@<>\x00-\x1f]*+\" *+<)?"
    r"[A-Za-z0-9!#$%&'*+/^_`{|}~.-]++@([A-Za-z0-9-]++(?>(?:\.[A-Za-z0-9-]++)+))(>?)",
    re.ASCII,
)
_MAILBOX = re.compile(rf"(?:{_SPEC}|{_PHRASE}\s*+<\s*+{_SPEC}\s*+>)\s*+")
_GROUP = re.compile(rf"{_PHRASE}\s*+:\s*+")
_COMMENT_TOKENS = re.compile(rb'"[^"\\]*+(?>(?:\\.[^"\\]*+)*)"|[^"()\\]++|\\.|.', re.DOTALL)
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*+)\?=")
_CHARSET = re.compile(r"utf|iso|windows|cp|koi|gb|big5|shift|euc|us-ascii|mac", re.IGNORECASE)
_SOMETHING_AT = re.compile(rf"[{_AT}](?>(?:(?!{_NAME_LETTER})[^{_AT}])*)({_NAME_LETTER}++)")
_GAPS = re.compile(r"[\s\"\\\x00-\x1f\x7f]++")
_PLAIN_DOMAIN = re.compile(r"[A-Za-z0-9._-]*+", re.ASCII)


def author_domains(values: Iterable[bytes]) -> tuple[str, ...]:
    """The canonical domains of all these field values, sorted.

    Raises `TooManyAuthors` where reading them all would take too long.
    """
    found: set[str] = set()
    for value in values:
        found.update(_domains(value))
    return tuple(sorted(_canonical(found) - {""}))


def _domains(value: bytes) -> Iterable[str]:
    text = value.decode("utf-8", "ignore").strip()
    plain = _PLAIN.fullmatch(text)
    if plain and ("<" in text) == bool(plain[2]):
        return (plain[1],)
    clean = _addr_specs(value)
    return _everything(value, text) if clean is None else [domain for _, domain in clean]


def addresses(values: Iterable[bytes]) -> tuple[str, ...]:
    """The addr-specs of those field values that read cleanly, domains canonical, in their order.

    For lists that people keep; who must not miss a name takes `author_domains`.
    """
    found = [pair for value in values for pair in _addr_specs(value) or ()]
    return tuple(f"{local}@{domain}" for local, name in found for domain in _canonical({name}))


def _addr_specs(value: bytes) -> list[tuple[str, str]] | None:
    """Local part and domain of each mailbox (RFC 5322, 3.4), or None where it does not read so."""
    if len(value) > _MAX_CLEAN_OCTETS:
        return None
    octets, balanced = without_comments(value)
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        return None
    return _read_list(text.replace("\r\n", "")) if balanced else None


def _read_list(text: str) -> list[tuple[str, str]] | None:
    found, position, in_group, separated = [], 0, False, True
    while position < len(text):
        if text[position] in " \t,":
            separated = separated or text[position] == ","
            position += 1
        elif text[position] == ";" and in_group:
            in_group, separated, position = False, True, position + 1
        elif separated and (mailbox := _MAILBOX.match(text, position)):
            found.append(_parts(mailbox))
            separated, position = False, mailbox.end()
        elif separated and not in_group and (group := _GROUP.match(text, position)):
            in_group, position = True, group.end()
        else:
            return None
    return None if in_group else found


def _parts(mailbox: "re.Match[str]") -> tuple[str, str]:
    """Local part and domain of one mailbox, with its name or without."""
    group = 1 if mailbox[1] is not None else 2
    before = mailbox.string[mailbox.start() : mailbox.start(group) - 1]
    local = before.rpartition("<")[2] if group == 2 else before
    return local.strip(), mailbox[group]


def _everything(value: bytes, text: str) -> set[str]:
    """Every `@domain` in the field, read in each way that a mail program might."""
    bare = without_comments(value)[0].decode("utf-8", "ignore")
    views = {text, bare, _decoded(text), _decoded(bare), _decoded(text, "utf-8")}
    views |= {_GAPS.sub("", view) for view in views}
    return {domain for view in views for domain in _SOMETHING_AT.findall(view)}


def _decoded(text: str, codec: str = "") -> str:
    return _ENCODED_WORD.sub(lambda word: _decode_word(word[1], word[2], word[3], codec), text)


def _decode_word(charset: str, encoding: str, payload: str, codec: str) -> str:
    """The text of an encoded word (RFC 2047), leniently; in `codec` whatever it says itself."""
    octets = payload.encode("ascii", "ignore")
    if encoding in "bB":
        try:
            octets = base64.b64decode(octets + b"===")
        except binascii.Error:
            return ""
    else:
        octets = quopri.decodestring(octets, header=True)
    return octets.decode(codec or _codec(charset), "ignore")


def _codec(charset: str) -> str:
    name = charset.split("*", 1)[0]
    if not _CHARSET.match(name):  # some codecs of Python are no charsets and take quadratic time
        return "utf-8"
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "utf-8"


def _canonical(names: set[str]) -> set[str]:
    plain = {name for name in names if _PLAIN_DOMAIN.fullmatch(name)}
    foreign = names - plain
    if len(foreign) > _MAX_FOREIGN_NAMES:
        raise TooManyAuthors("too many author domains to read")
    return {name.lower().strip(".") for name in plain} | {_a_labels(name) for name in foreign}


def _a_labels(name: str) -> str:
    try:
        return canonical_domain(name.strip("."))
    except BadDomain:
        # Kept without what does not show, for whoever compares it with his own plain name.
        return "".join(letter for letter in name if letter.isprintable()).lower().strip(".")


def without_comments(value: bytes) -> tuple[bytes, bool]:
    """The value with each comment replaced by a space, and whether they were balanced.

    Quoted strings are left alone; comments nest (RFC 5322, 3.2.2).
    """
    if b"(" not in value and b")" not in value:
        return value, True
    kept, depth, balanced = [], 0, True
    for token in _COMMENT_TOKENS.findall(value):
        if token == b"(":
            depth += 1
            kept.append(b" ")
        elif token == b")":
            balanced = balanced and depth > 0
            depth = max(0, depth - 1)
        elif depth == 0:
            kept.append(token)
    return b"".join(kept), balanced and depth == 0
