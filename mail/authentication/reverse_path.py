"""Whether the reverse-path is genuine, so that its owner may be told when delivery fails.

A stranger who forges it would make us write to somebody who never wrote to us. SPF shows it, for
that is what SPF speaks of; so does a signature of its domain or of a domain above it, and DMARC
where the author is of the same domain.
"""

from mail.address import is_within
from mail.authentication.values import Authentication, DmarcResult


def is_authentic(found: Authentication | None, reverse_path: str) -> bool:
    """False for the null reverse-path, which has no owner, and where nothing was found out."""
    domain = reverse_path.rpartition("@")[2].lower()
    if found is None or not domain:
        return False
    return found.spf.passed or _is_vouched_for(found, domain)


def _is_vouched_for(found: Authentication, domain: str) -> bool:
    signers = {one.domain for one in found.dkim if one.passed and not one.is_testing}
    if found.dmarc.result is DmarcResult.PASS:
        signers |= {found.dmarc.author_domain, found.dmarc.organizational_domain}
    return any(is_within(domain, one) for one in signers)
