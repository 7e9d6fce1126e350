"""What the DNS says to these pages; nobody outside is asked."""

from __future__ import annotations

import pytest

from tests.routing.said import Dns


@pytest.fixture
def dns(monkeypatch) -> Dns:
    """Everything that the service asks of the DNS is answered by this."""
    answers = Dns()
    monkeypatch.setattr("routing.services.checks.DnsAsker", lambda sources: answers)
    return answers
