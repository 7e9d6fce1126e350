"""The ARC seal of forwarded mail: made once for a message, however many destinations it has.

It says how the chain stood and what we saw when the message came in; the edge wrote both down.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from delivery.claim import ClaimedMessage, Content
from mail.authentication.seal import seal
from mail.message import Field, header_fields
from mail.plan import Direction
from mail.signing import Algorithm, Covered, SigningKey

_REMEMBERED: Final = 256
_RESULTS: Final = b"authentication-results"


class Sealer:
    """Remembers the seals of the last messages; belongs to one event loop."""

    def __init__(self, *, enabled: bool = True) -> None:
        self._enabled = enabled
        self._made: OrderedDict[UUID, bytes] = OrderedDict()

    def fields(
        self,
        message: ClaimedMessage,
        content: Content,
        header: Sequence[Field],
        covered: Covered,
        keys: Sequence[SigningKey],
        now: int,
    ) -> bytes:
        """The three fields for this message, or b"" where none are to be added."""
        if not self._enabled or message.chain is None or message.direction is not Direction.FORWARD:
            return b""
        made = self._made.get(message.id)
        if made is None:
            key = next((one for one in keys if one.algorithm is Algorithm.RSA_SHA256), None)
            if key is None:
                return b""
            made = seal(
                header,
                content.body_hash,
                key,
                results=_results(message.our_fields),
                chain=message.chain,
                now=now,
                covered=covered,
            )
            self._remember(message.id, made)
        return made

    def _remember(self, message_id: UUID, made: bytes) -> None:
        self._made[message_id] = made
        if len(self._made) > _REMEMBERED:
            self._made.popitem(last=False)


NO_SEALS: Final = Sealer(enabled=False)


def _results(our_fields: bytes) -> str:
    """What our own Authentication-Results field says."""
    found = [field for field in header_fields(our_fields) if field.name == _RESULTS]
    return found[0].body.decode() if found else ""
