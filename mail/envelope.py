"""The client and the envelope of one SMTP transaction, as finished values (RFC 5321, 2.3.1)."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Client:
    """Who speaks to us: the address of the connection and what it said of itself."""

    ip: str
    port: int
    helo: str
    protocol: str
    """The `with` word of the Received field: SMTP, ESMTP, ESMTPS, UTF8SMTP … (RFC 3848, 6531)."""
    tls: str = ""
    """`TLSv1.3 TLS_AES_256_GCM_SHA384`, or empty in clear text."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A transaction at MAIL FROM. `reverse_path` is the wire form, "" the null reverse-path."""

    trace_id: UUID
    client: Client
    reverse_path: str
    smtputf8: bool = False
    eight_bit: bool = False
    declared_octets: int = 0
