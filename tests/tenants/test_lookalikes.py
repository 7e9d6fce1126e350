"""A name that looks like another tenant's is flagged; whether it may stay is for people to say."""

import pytest

from mail.address import canonical_domain
from tenants.confusables import lookalikes
from tenants.models import PlatformAuditEntry
from tenants.services import claim_domain

HOSTED = ("apple.example", "modern.example", "bucher.example")


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("аррӏе.example", "apple.example"),
        ("αpple.example", "apple.example"),
        ("app1e.example", "apple.example"),
        ("ap-ple.example", "apple.example"),
        ("rnodern.example", "modern.example"),
        ("bücher.example", "bucher.example"),
        ("ＡＰＰＬＥ.example", None),
        ("orange.example", None),
        ("apple.example", None),
        ("sub.apple.example", None),
    ],
)
def test_which_names_look_alike(name, twin):
    assert lookalikes(canonical_domain(name), HOSTED) == ((twin,) if twin else ())


def test_a_homograph_of_a_hosted_domain_is_in_the_audit(ada, mallory):
    ada.has_domain("apple.example")

    claim_domain(tenant=mallory.tenant, name="аррӏе.example", actor="test")

    entry = PlatformAuditEntry.objects.filter(tenant_slug="mallory", action="domain.claimed").get()
    assert entry.new["looks_like"] == ["apple.example"]
