"""A virus before a whole service with Debian's clamd: refused, or held and looked at."""

import json
import smtplib

import pytest

from tests.delivery.sink import Sink
from tests.installation import installed
from tests.peers import scanners as debian
from tests.peers.debian import open_folder
from tests.peers.test_scanners import attached

pytestmark = [pytest.mark.needs_debian, pytest.mark.journey, pytest.mark.slow]

HOLD_VIRUSES = """
from dataclasses import replace
from routing.models import TrustPreference
from routing.services.trust import TrustChoice, set_preference
from tenants.context import tenant_schema
from tenants.models import Tenant
ada = Tenant.objects.get(slug="ada")
with tenant_schema(ada.pk):
    now = TrustChoice.of(TrustPreference())
set_preference(tenant=ada, choice=replace(now, refuses_viruses=False), actor="test")
"""
QUARANTINED = """
import json
from delivery.models import Delivery
from mail.plan import Hold
rows = Delivery.objects.filter(hold=Hold.QUARANTINE)
print(json.dumps([[row.recipient, row.hold_reason] for row in rows]))
"""


@pytest.fixture(scope="module")
def next_hop():
    one = Sink().start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory, next_hop):
    with open_folder() as folder, debian.clamd(folder) as clamd:
        extra = {
            "MXAX_SMARTHOST": f"127.0.0.1:{next_hop.port}",
            "MXAX_CLAMD": str(clamd.address),
        }
        with installed(tmp_path_factory.mktemp("service"), **extra) as running:
            running.tenant("ada", "ada.example", ("hi@ada.example", "friend@far.example"))
            yield running


def offer(service, octets: bytes) -> str:
    with service.smtp() as client:
        try:
            client.sendmail("carol@author.example", ["hi@ada.example"], octets)
        except smtplib.SMTPDataError as error:
            return f"{error.smtp_code} {error.smtp_error.decode()}"
    return "250"


def test_a_virus_is_refused_in_the_dialog(service, next_hop):
    reply = offer(service, attached(debian.EICAR, "x.com"))

    assert reply.startswith("550 5.7.1 ")
    assert next_hop.arrivals == []
    told = " ".join(service.manage("trace", "--recipient", "hi@ada.example").split())
    assert "virus_found" in told
    assert "clamd" in told


def test_a_large_one_with_its_virus_at_the_end_too(service, next_hop):
    filler = b"".join(bytes([number]) * 30_011 for number in range(30))

    assert offer(service, attached(filler, "a.bin")) == "250"
    reply = offer(service, attached(debian.EICAR, "x.com").replace(
        b"See there.", b"See there.\r\n" + b"much to read\r\n" * 40_000))  # fmt: skip
    assert reply.startswith("550 5.7.1 ")


def test_where_the_owner_wants_to_look_it_is_held_and_goes_when_released(service, next_hop):
    service.manage("shell", "-c", HOLD_VIRUSES)
    service.wait_for(
        lambda: offer(service, attached(debian.EICAR, "held.com")) == "250", 10, "the choice"
    )

    said = service.manage("shell", "-c", QUARANTINED).splitlines()[-1]
    ((recipient, reason),) = json.loads(said)
    assert recipient == "hi@ada.example"
    assert "clamd" in reason
    assert all(b"held.com" not in one.octets for one in next_hop.arrivals)
    service.manage("queue", "release", "--tenant", "ada", "--hold", "quarantine")
    service.wait_for(
        lambda: [one for one in list(next_hop.arrivals) if b"held.com" in one.octets], 20, "it"
    )
