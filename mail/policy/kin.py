"""Authors in the domain above our own names, such as mx.ax above fwd.mx.ax.

A relaxed DMARC record there aligns with our signature on forwarded mail, so that a forged author
would leave here with a pass. He is taken from outside only with a signature or an SPF pass of his
own domain; ours do not count, for whatever passed through us once bears them.
"""

from collections.abc import Iterable, Iterator

from mail.address import is_within
from mail.authentication.values import Authentication
from mail.reply import Reply
from mail.verdict import Verdict


def unproved_kin(
    author_domains: Iterable[str],
    found: Authentication | None,
    *,
    above: Iterable[str],
) -> Verdict | None:
    """The refusal, or None; `above` are the domains over service and forward domain.

    A proof is of the author's own domain or one above it: ours lie beside or below him, for authors
    in our own names were refused before (mail/policy/message.py). `found` None: nothing was
    verified, and nobody is believed.
    """
    kin_names, proofs = tuple(above), tuple(_proved(found))
    for author in author_domains:
        if not any(is_within(author, name) for name in kin_names):
            continue
        if not any(is_within(author, one) for one in proofs):
            return Verdict(
                Reply(550, (7, 1), "Author not permitted from outside"),
                f"author in {author}, above our own names, without a proof of his own",
            )
    return None


def _proved(found: Authentication | None) -> Iterator[str]:
    if found is None:
        return
    yield from (one.domain for one in found.dkim if one.passed and not one.is_testing)
    if found.spf.passed:
        yield found.spf.mail_from.domain
