"""What one client may do where nothing is set, as it was promised (B4, B5, B6, B7, B13)."""

import pytest

from smtp_edge.limits import Limits


@pytest.mark.parametrize(
    ("name", "promised"),
    [
        ("idle_seconds", 300),
        ("transaction_seconds", 900),
        ("slowest_octets_per_second", 500),
        ("client_connections", 50),
        ("errors_before_delay", 10),
        ("errors", 20),
        ("junk_commands", 100),
        ("proxy_seconds", 3),
        ("recipients", 1000),
        ("command_octets", 512),
    ],
)
def test_the_limits_are_the_promised_ones(name, promised):
    assert getattr(Limits(), name) == promised
