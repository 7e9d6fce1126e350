"""Whether somebody we trust saw the author prove himself before the mail was changed on its way.

A mailing list changes what it passes on, and so breaks the author's signature. A seal (RFC 8617)
keeps what the list saw, but anybody can seal, and can write into a seal what he likes. So the seal
counts only where all of this holds:

1. the whole chain validates, as we checked it: what came in is what the newest sealer sent;
2. the newest sealer is trusted, and everybody between him and the one whose word is taken: who
   seals later may have changed the message, and kept the older words;
3. the trusted sealer's own results say dmarc=pass for this very author domain.
"""

import re
from typing import Final

from mail.authentication.values import ArcResult, ArcVerdict

_COMMENT: Final = re.compile(r"\([^()]*\)")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_DEEPEST_COMMENT: Final = 10
_MOST_CHARACTERS: Final = 20_000


def vouching_sealer(chain: ArcVerdict, trusted: frozenset[str], author_domain: str) -> str:
    """The trusted sealer who saw DMARC pass for the author domain; "" where none did."""
    if chain.result is not ArcResult.PASS or not author_domain:
        return ""
    for one in reversed(chain.sets):
        if one.sealer not in trusted:
            return ""
        if says_dmarc_pass(one.results, author_domain):
            return one.sealer
    return ""


def says_dmarc_pass(results: str, author_domain: str) -> bool:
    """Whether these results (RFC 8601) report dmarc=pass for the author domain, and nothing else.

    What stands in comments and quoted strings is no result: a stranger may have chosen it.
    """
    said = [
        words for words in map(str.split, _bare(results).lower().split(";")) if _is_dmarc(words)
    ]
    return bool(said) and all(
        words[0] == "dmarc=pass" and f"header.from={author_domain}" in words for words in said
    )


def _is_dmarc(words: list[str]) -> bool:
    return bool(words) and words[0].startswith("dmarc=")


def _bare(results: str) -> str:
    text = _QUOTED.sub("?", results[:_MOST_CHARACTERS])
    for _ in range(_DEEPEST_COMMENT):
        shorter = _COMMENT.sub(" ", text)
        if shorter == text:
            break
        text = shorter
    return re.sub(r"\s*=\s*", "=", text)
