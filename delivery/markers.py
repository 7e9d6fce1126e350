"""The mark on forwarded mail: sealed by the sending loop, opened by the edge and in returns.

The keys come from the data keys, all of them: mail that left before a change of the key is still
known when it comes back.
"""

import re
from functools import lru_cache

from django.conf import settings

from delivery.claim import ClaimedDelivery
from mail.marker import Mark, mark_field, seal_mark
from tenants.vault import derived_key

_MESSAGE_ID = re.compile(rb"message-id[ \t]*:\s*(<[!-;=?-~]{1,250}>)", re.IGNORECASE)


@lru_cache(maxsize=1)
def marker_keys() -> tuple[bytes, ...]:
    """Seal with the first, open with any."""
    return tuple(derived_key("route-marker", key) for key in settings.ENV.data_keys)


def delivery_mark(delivery: ClaimedDelivery, header: bytes) -> bytes:
    """The header field for one delivery; the same at each attempt."""
    message = delivery.message
    mark = Mark(
        trace_id=message.id,
        tenant_id=message.tenant_id or 0,
        route_id=delivery.route_id or 0,
        recipient=delivery.recipient,
        reverse_path=message.reverse_path,
        message_id=_message_id(header),
        authenticated=message.authenticated,
        log_level=message.log_level,
    )
    return mark_field(seal_mark(mark, marker_keys()[0]))


def _message_id(header: bytes) -> bytes:
    """The Message-ID, without reading all the fields: this is done for every mail."""
    lower = header.lower()
    at = 0 if lower.startswith(b"message-id") else lower.find(b"\nmessage-id") + 1
    found = _MESSAGE_ID.match(header, at) if at or lower.startswith(b"message-id") else None
    return found[1] if found else b""
