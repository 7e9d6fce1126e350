"""Whether somebody we trust saw the author prove himself before the mail was changed on its way.

A mailing list changes what it passes on, and so breaks the author's signature. A seal (RFC 8617)
keeps what the list saw, but anybody can seal, and can write into a seal what he likes. So the seal
counts only where all of this holds:

1. the whole chain validates, as we checked it: what came in is what the newest sealer sent;
2. the newest sealer is trusted, and everybody between him and the one whose word is taken: who
   seals later may have changed the message, and kept the older words;
3. the trusted sealer's own results say dmarc=pass for this very author domain.
"""

from mail.authentication.results_field import read_results
from mail.authentication.values import ArcResult, ArcVerdict


def vouching_sealer(chain: ArcVerdict, trusted: frozenset[str], author_domain: str) -> str:
    """The trusted sealer who saw DMARC pass for the author domain; "" where none did."""
    if chain.result is not ArcResult.PASS or not author_domain:
        return ""
    for one in reversed(chain.sets):
        if one.sealer not in trusted:
            return ""
        if read_results(one.results).dmarc_passed(author_domain):
            return one.sealer
    return ""
