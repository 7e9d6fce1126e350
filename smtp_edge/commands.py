"""Reads the arguments of MAIL and RCPT: text of a stranger in, finished values or a reply out."""

import re
from dataclasses import dataclass, replace

from mail.address import (
    MAX_ADDRESS_OCTETS,
    ForwardPath,
    parse_path,
    parse_reverse_path,
)
from mail.errors import BadAddress
from mail.reply import Reply
from smtp_edge import replies

# Old clients write a space after the colon, or no angle brackets; a quoted string may hold both
# spaces and brackets.
_PATH = r'(<(?:[^<>"\\\s]|"(?:[^"\\]|\\.)*")*>|[^<>"\\\s]+)'
_MAIL = re.compile(rf"from: *{_PATH}(?: +(.*?))? *", re.IGNORECASE | re.ASCII).fullmatch
_RCPT = re.compile(rf"to: *{_PATH}(?: +(.*?))? *", re.IGNORECASE | re.ASCII).fullmatch
_PARAMETERS = {
    "SIZE": re.compile(r"size=[0-9]{1,20}", re.IGNORECASE | re.ASCII).fullmatch,
    "BODY": re.compile(r"body=(?:7bit|8bitmime)", re.IGNORECASE | re.ASCII).fullmatch,
    "SMTPUTF8": re.compile(r"smtputf8", re.IGNORECASE | re.ASCII).fullmatch,
}


@dataclass(frozen=True, slots=True)
class MailCommand:
    """`MAIL FROM:<reverse_path> …`; the null reverse-path is ""."""

    reverse_path: str
    declared_octets: int = 0
    eight_bit: bool = False
    smtputf8: bool = False


_NO_PARAMETERS = MailCommand("")


@dataclass(frozen=True, slots=True)
class RcptCommand:
    """`RCPT TO:<text>`; `path` is None for a form that is no mailbox."""

    text: str
    path: ForwardPath | None


def read_mail(argument: str, *, extended: bool) -> MailCommand | Reply:
    """The command, or what is wrong with it; without EHLO there are no parameters."""
    match = _MAIL(argument)
    if match is None:
        return replies.MAIL_SYNTAX
    if match[2] and not extended:
        return replies.UNKNOWN_PARAMETER
    parameters = _read_parameters(match[2]) if match[2] else _NO_PARAMETERS
    if isinstance(parameters, Reply):
        return parameters
    if not parameters.smtputf8 and not match[1].isascii():
        return replies.NEEDS_SMTPUTF8
    try:
        path = parse_reverse_path(match[1], max_local_octets=MAX_ADDRESS_OCTETS)
    except BadAddress:
        return replies.BAD_REVERSE_PATH
    return replace(parameters, reverse_path=path)


def _read_parameters(text: str) -> MailCommand | Reply:
    """SIZE (RFC 1870), BODY (RFC 6152) and SMTPUTF8 (RFC 6531), each once; no others."""
    command, seen = _NO_PARAMETERS, set()
    for word in text.split():
        name, _, value = word.partition("=")
        name = name.upper()
        if name not in _PARAMETERS:
            return replies.UNKNOWN_PARAMETER
        if name in seen or not _PARAMETERS[name](word):
            return replies.BAD_PARAMETER
        seen.add(name)
        if name == "SIZE":
            command = replace(command, declared_octets=int(value))
        elif name == "BODY":
            command = replace(command, eight_bit=value.upper() == "8BITMIME")
        else:
            command = replace(command, smtputf8=True)
    return command


def read_rcpt(argument: str, *, smtputf8: bool) -> RcptCommand | Reply:
    """The command, or what is wrong with it. A path that is no mailbox is left to the policy."""
    match = _RCPT(argument)
    if match is None:
        return replies.RCPT_SYNTAX
    text = match[1]
    if match[2]:
        return replies.UNKNOWN_PARAMETER
    if text == "<>":
        return replies.NULL_RECIPIENT
    if not text.isascii() and not smtputf8:
        return replies.NEEDS_SMTPUTF8
    try:
        return RcptCommand(text, parse_path(text))
    except BadAddress:
        return RcptCommand(text, None)
