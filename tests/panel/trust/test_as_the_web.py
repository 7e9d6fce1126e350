"""The database role of the web process may do what these pages need."""

import pytest

from mail.policy.trust import OnQuarantine
from routing.models import TrustedSealer, TrustEntry
from routing.selectors import domain_snapshot
from tenants.context import tenant_schema
from tests.delivery.log_words import the_log_writer_runs
from tests.delivery.test_trust_trial import logs
from tests.mail.test_trust_rules import FAILS, facts
from tests.panel.routes.test_as_the_web import as_the_web  # noqa: F401
from tests.panel.trust.test_trust_pages import CHOICE, ENTRY
from tests.panel.trust.test_trying import TRIED

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:No directory at"),
]


def test_all_that_an_admin_does(ada, as_the_web):  # noqa: F811
    ada.has_domain("example.org")
    logs(ada, facts(FAILS))
    the_log_writer_runs()
    client = ada.client()
    as_the_web()

    version = client.get(ada.url("trust-change")).context["form"]["version"].value()
    changed = {**CHOICE, "on_dmarc_quarantine": "hold", "version": version}
    done = [client.post(ada.url("trust-change"), changed)]
    done.append(client.post(ada.url("trust-list-add"), {**ENTRY, "scope": "example.org"}))
    done.append(client.post(ada.url("trust-list-add"), {**ENTRY, "subject": "b.example"}))
    done.append(client.post(ada.url("trust-sealer-add"), {"name": "lists.example", "note": ""}))
    with tenant_schema(ada.tenant.pk):
        first = TrustEntry.objects.order_by("id").first().pk
        sealer = TrustedSealer.objects.get().pk
    looks = [client.get(ada.url(name)) for name in ("trust", "trust-lists", "trust-sealers")]
    tried = client.get(ada.url("trust-try"), {**TRIED, "on_dmarc_reject": "forward"})
    done.append(client.post(ada.url("trust-list-remove", first)))
    done.append(client.post(ada.url("trust-sealer-remove", sealer)))

    as_the_web("mxax_edge")
    trust = domain_snapshot("example.org").trust
    as_the_web("mxax_owner")
    assert [answer.status_code for answer in done] == [303] * len(done)
    assert [answer.status_code for answer in (*looks, tried)] == [200] * 4
    assert tried.context["trial"].changed == 1
    assert trust.on_dmarc_quarantine is OnQuarantine.HOLD
    assert [one.subject for one in trust.entries] == ["b.example"]
