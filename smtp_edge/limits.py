"""What one client may do to us, as numbers: the defaults of the MX, smaller in tests."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in octets, times in seconds."""

    message_octets: int = 50 * 1024 * 1024
    recipients: int = 1000  # RFC 5321, 4.5.3.1.8 asks for 100 at least
    deliveries: int = 1000
    command_octets: int = 512  # RFC 5321, 4.5.3.1.4, CRLF included; extensions add to it
    unread_octets: int = 64 * 1024  # pipelined commands that wait for their turn

    idle_seconds: float = 300.0
    transaction_seconds: float = 900.0
    slowest_octets_per_second: float = 500.0
    drain_seconds: float = 30.0
    sweep_seconds: float = 1.0

    errors_before_delay: int = 10
    error_delay_seconds: float = 1.0
    errors: int = 20
    junk_commands: int = 100

    client_connections: int = 50
    connections: int = 4000
    bad_returns_per_minute: int = 20

    keep_seconds: float = 20.0
    """From the final dot to 451: after that no COMMIT is sent any more."""
    lookup_seconds: float = 10.0
    waiting_octets: int = 64 * 1024 * 1024
    """Content that waits for the committer, of all sessions together."""
