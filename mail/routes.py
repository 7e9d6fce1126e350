"""Which route of one domain takes a local part.

Called by selectors (`RouteTable.build`, once per change), by the RCPT policy (`match`, per
recipient) and by the service that saves a route (`conflicts`). Case does not count.

    order  how        pattern       takes
    1      EXACT      hi            hi, HI
    2      PLUS       hi            hi+news, when there is no route hi+news
    3      GLOB       sales-*       sales-, sales-eu; of several the one with most literal text
    4      CATCH_ALL  *             everything else

A `*` stands for any run of characters, the empty one included; a pattern has at most three. There
are no other special characters, so an address with a literal `*` can only be caught by a glob.
"""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, Generic, TypeVar

from mail.address import MAX_LOCAL_PART_OCTETS, parse_local_part, quote_local_part
from mail.errors import BadAddress, BadRoutePattern, DuplicateRoute

MAX_STARS: Final = 3

T = TypeVar("T")


class How(Enum):
    """Why a route took a local part, best first."""

    EXACT = "exact"
    PLUS = "plus"
    GLOB = "glob"
    CATCH_ALL = "catch-all"


@dataclass(frozen=True, slots=True)
class RoutePattern:
    """A pattern in its normal form; equal patterns are duplicates. `str()` is what to store."""

    pieces: tuple[str, ...]
    """The text between the stars: one piece is an exact address, `("", "")` the catch-all."""

    @property
    def is_exact(self) -> bool:
        return len(self.pieces) == 1

    @property
    def is_catch_all(self) -> bool:
        return self.pieces == ("", "")

    @property
    def is_glob(self) -> bool:
        return not self.is_exact and not self.is_catch_all

    @property
    def literal_length(self) -> int:
        """Characters that are not stars: what ranks globs."""
        return sum(map(len, self.pieces))

    @property
    def text(self) -> str:
        """The normal form without quoting."""
        return "*".join(self.pieces)

    def __str__(self) -> str:
        return quote_local_part(self.text)

    def matches(self, folded: str) -> bool:
        """Whether a folded local part fits, without plus-addressing; time linear in its length.

        Leftmost search for each middle piece is enough: an earlier place never leaves less room.
        """
        if self.is_exact:
            return folded == self.pieces[0]
        first, *middle, last = self.pieces
        end = len(folded) - len(last)
        at = len(first)
        if at > end or not folded.startswith(first) or not folded.endswith(last):
            return False
        for piece in middle:
            found = folded.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    """The route that takes a local part, and why."""

    route: T
    how: How
    pattern: RoutePattern


@dataclass(frozen=True, slots=True)
class RouteTable(Generic[T]):
    """All routes of one domain, ready to be asked."""

    exact: MappingProxyType[str, tuple[RoutePattern, T]]
    globs: tuple[tuple[RoutePattern, T], ...]
    """Longest literal first; `conflicts` keeps real ties out, text order decides harmless ones."""
    catch_all: tuple[RoutePattern, T] | None

    @classmethod
    def build(cls, entries: Iterable[tuple[str, T]]) -> "RouteTable[T]":
        """The table of (pattern as written, route). Raises `BadRoutePattern`, `DuplicateRoute`."""
        routes: dict[RoutePattern, T] = {}
        for text, route in entries:
            pattern = parse_pattern(text)
            if pattern in routes:
                raise DuplicateRoute("two routes have the same pattern")
            routes[pattern] = route
        globs = [(pattern, route) for pattern, route in routes.items() if pattern.is_glob]
        globs.sort(key=lambda entry: (-entry[0].literal_length, entry[0].text))
        return cls(
            exact=MappingProxyType(
                {p.text: (p, route) for p, route in routes.items() if p.is_exact}
            ),
            globs=tuple(globs),
            catch_all=next(((p, route) for p, route in routes.items() if p.is_catch_all), None),
        )

    def match(self, local_part: str) -> Match[T] | None:
        """The best route for a local part (unquoted, as `Address` has it), or None."""
        return next(self.matches(local_part), None)

    def matches(self, local_part: str) -> Iterator[Match[T]]:
        """All routes that fit, best first: each takes the mail where those before are not there."""
        folded = fold(local_part)
        exact = self.exact.get(folded)
        if exact:
            yield Match(exact[1], How.EXACT, exact[0])
        stripped = self.exact.get(folded.partition("+")[0]) if "+" in folded else None
        if stripped:
            yield Match(stripped[1], How.PLUS, stripped[0])
        for pattern, route in self.globs:
            if pattern.matches(folded):
                yield Match(route, How.GLOB, pattern)
        if self.catch_all:
            yield Match(self.catch_all[1], How.CATCH_ALL, self.catch_all[0])


def fold(local_part: str) -> str:
    """A local part without case: canonical caseless matching (Unicode 3.13, D145), as NFC."""
    if local_part.isascii():
        return local_part.lower()
    decomposed = unicodedata.normalize("NFD", local_part).casefold()
    return unicodedata.normalize("NFC", decomposed)


def parse_pattern(local: str) -> RoutePattern:
    """The pattern as written in a route, before the @. Raises `BadRoutePattern`."""
    if local.count("*") > MAX_STARS:
        raise BadRoutePattern(f"a pattern has at most {MAX_STARS} stars")
    try:
        literal = fold(parse_local_part(local))
    except BadAddress as error:
        raise BadRoutePattern(str(error)) from None
    if len(literal.encode()) > MAX_LOCAL_PART_OCTETS:
        raise BadRoutePattern(f"a pattern has at most {MAX_LOCAL_PART_OCTETS} octets")
    first, *rest = literal.split("*")
    if not rest:
        return RoutePattern((first,))
    *middle, last = rest
    # Neighbouring stars are one star: "a**b" and "a*b" are the same pattern.
    return RoutePattern((first, *(piece for piece in middle if piece), last))


def conflicts(pattern: RoutePattern, others: Iterable[RoutePattern]) -> tuple[RoutePattern, ...]:
    """Those of `others` (the domain's other routes) that would tie with `pattern`.

    Ties are the same pattern again, and globs of one literal length with an address in common.
    """
    return tuple(other for other in others if _ties(pattern, other))


def _ties(a: RoutePattern, b: RoutePattern) -> bool:
    if a == b:
        return True
    same_rank = a.is_glob and b.is_glob and a.literal_length == b.literal_length
    return same_rank and have_common_match(a, b)


def have_common_match(a: RoutePattern, b: RoutePattern) -> bool:
    """Whether some text fits both patterns: exact, in time linear in their lengths.

    Of two with stars the ends decide. Where one beginning begins with the other, and likewise at
    the end, this fits both: the longer beginning, what stands between the stars of the one, then of
    the other, and the longer end; a star of each takes what is the other's.
    """
    if a.is_exact:
        return b.matches(a.text)
    if b.is_exact:
        return a.matches(b.text)
    first, other_first = a.pieces[0], b.pieces[0]
    last, other_last = a.pieces[-1], b.pieces[-1]
    return (first.startswith(other_first) or other_first.startswith(first)) and (
        last.endswith(other_last) or other_last.endswith(last)
    )
