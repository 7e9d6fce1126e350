"""Names that look like one another: flagged for people, never refused by machine.

A skeleton in the manner of UTS #39, for the letters that are used to deceive: Cyrillic, Greek and
Latin twins of ASCII letters, accents, and the digits and pairs that pass for letters.
"""

import unicodedata
from collections.abc import Iterable
from typing import Final

from mail.address import unicode_domain

_TWINS: Final = str.maketrans(
    {
        **dict(zip("абвгезіїјкмнорсѕтухһԁԛԝӏьгѵ", "a6breziijkmhopcstyxhdqwlbrv", strict=True)),
        **dict(zip("αβγδεηικνορτυχω", "abydenikvoptuxw", strict=True)),
        **dict(zip("ıɡɩɑʋʏøđłħ", "igiavyodlh", strict=True)),
        **dict(zip("01", "ol", strict=True)),
        "-": "",
    }
)
_PAIRS: Final = (("rn", "m"), ("vv", "w"), ("cl", "d"), ("ii", "u"))


def skeleton(a_label: str) -> str:
    """What is left of a domain when letters that look alike are the same letter."""
    decomposed = unicodedata.normalize("NFKD", unicode_domain(a_label).lower())
    bare = "".join(c for c in decomposed if not unicodedata.combining(c)).translate(_TWINS)
    for pair, letter in _PAIRS:
        bare = bare.replace(pair, letter)
    return bare


def lookalikes(name: str, others: Iterable[str]) -> tuple[str, ...]:
    """Those of the other domains that a hurried reader takes for this one."""
    wanted = skeleton(name)
    return tuple(other for other in others if other != name and skeleton(other) == wanted)
