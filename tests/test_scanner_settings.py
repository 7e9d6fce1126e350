"""Addresses of scanners and paths of an installation's own checks, as people write them."""

from pathlib import Path

import pytest

from mxax.setting_values import HostPort, parse_dotted_paths, parse_scanners


def test_scanners_are_hosts_and_sockets_separated_by_commas():
    assert parse_scanners(
        "127.0.0.1:3310, [::1]:3310,/run/clamav/clamd.ctl, scan-1.local:3310"
    ) == (
        HostPort("127.0.0.1", 3310),
        HostPort("::1", 3310),
        Path("/run/clamav/clamd.ctl"),
        HostPort("scan-1.local", 3310),
    )


@pytest.mark.parametrize(
    "text", ["clamd", "127.0.0.1", "http://host:11333", "host:0", "host:x,b:1"]
)
def test_an_address_that_is_none_says_what_is_needed(text):
    with pytest.raises(ValueError, match="needs host:port or the path of a socket"):
        parse_scanners(text)


def test_checks_are_dotted_paths():
    assert parse_dotted_paths("mychecks.A, pkg.mod.B") == ("mychecks.A", "pkg.mod.B")


@pytest.mark.parametrize("text", ["A", "mychecks.", ".A", "my-checks.A", "mychecks:A"])
def test_a_path_that_is_none_says_what_is_needed(text):
    with pytest.raises(ValueError, match="needs dotted paths"):
        parse_dotted_paths(text)
