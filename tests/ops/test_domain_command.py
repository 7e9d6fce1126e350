"""The operator sees the same verdicts as the owner's pages."""

from __future__ import annotations

import json

import pytest
from dnslib import RR

from tenants.claims import challenge_text
from tenants.models import ClaimedDomain
from tests.ops.test_operator_commands import fine, manage  # noqa: F401
from tests.routing.said import NAME, Dns

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def dns(monkeypatch) -> Dns:
    answers = Dns()
    monkeypatch.setattr("routing.services.checks.DnsAsker", lambda sources: answers)
    return answers


def test_check_judges_every_record(ada, dns, manage):  # noqa: F811
    ada.has_domain(NAME, verified=False)
    dns.prove(ada)
    dns.publish(NAME, "MX", "10 mx.elsewhere.example")

    text = fine(manage("domain", "check", "ada", NAME))
    told = json.loads(fine(manage("domain", "check", "ada", NAME, "--json")))

    assert text.startswith(f"{NAME} is verified.")
    assert "Mail goes to mx.elsewhere.example (10), not to us." in text
    assert (told["state"], told["seen"]) == ("verified", "found")
    assert {row["kind"]: row["verdict"] for row in told["records"]} == {
        "proof": "right",
        "mx": "wrong",
        "spf": "nothing to do",
        "dmarc": "missing",
    }


def test_records_are_a_zone_file_with_what_was_last_seen(ada, dns, manage):  # noqa: F811
    ada.has_domain(NAME, verified=False)
    first = fine(manage("domain", "records", "ada", NAME))
    dns.prove(ada)
    fine(manage("domain", "check", "ada", NAME))
    later = fine(manage("domain", "records", "ada", NAME))

    token = ClaimedDomain.objects.get().token
    assert f'TXT "{challenge_text(token)}"' in first
    assert "not looked at yet" in first
    assert "; right: The proof is there." in later
    assert {(str(one.rname), one.rtype) for one in RR.fromZone(later)} == {
        (f"{NAME}.", 15),
        (f"_dmarc.{NAME}.", 16),
    }


def test_an_operators_word_has_no_proof_to_publish(ada, manage):  # noqa: F811
    ada.has_domain(NAME)

    assert "_mxax-challenge" not in fine(manage("domain", "records", "ada", NAME))
    assert "is verified" in fine(manage("domain", "check", "ada", NAME))
