"""What one client may do to us, as numbers: the defaults of the MX, smaller in tests."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in octets, times in seconds. docs/edge.md says where each of them is met."""

    message_octets: int = 50 * 1024 * 1024
    recipients: int = 1000  # RFC 5321, 4.5.3.1.8 asks for 100 at least
    deliveries: int = 1000
    command_octets: int = 512  # RFC 5321, 4.5.3.1.4, CRLF included; extensions add to it
    unread_octets: int = 64 * 1024  # pipelined commands that wait for their turn

    proxy_seconds: float = 3.0
    """For the header of a trusted proxy."""
    greeting_seconds: float = 0.0
    """How long a client that is listed, or has no name, waits for the banner; 0 is not at all."""

    idle_seconds: float = 300.0
    transaction_seconds: float = 900.0
    slowest_octets_per_second: float = 500.0
    drain_seconds: float = 30.0
    sweep_seconds: float = 1.0

    errors_before_delay: int = 10
    error_delay_seconds: float = 1.0
    errors: int = 20
    junk_commands: int = 100
    refused_before_delay: int = 5
    """Refused recipients of a session that are answered at once; then each takes a while."""
    refused_delay_seconds: float = 1.0

    client_connections: int = 50
    connections: int = 4000

    # In any minute or hour, over all processes; 0 is no limit.
    connections_per_minute: int = 600
    messages_per_minute: int = 3000
    refused_per_minute: int = 100
    bad_returns_per_minute: int = 20
    route_messages_per_minute: int = 600
    route_messages_per_hour: int = 6000
    tenant_messages_per_minute: int = 3000
    tenant_messages_per_hour: int = 30_000

    keep_seconds: float = 20.0
    """From the final dot to 451: after that no COMMIT is sent any more."""
    lookup_seconds: float = 10.0
    waiting_octets: int = 64 * 1024 * 1024
    """Content that waits for the committer, of all sessions together."""
