"""The operator's commands: what they print, and how they refuse."""

import base64
import hashlib
import hmac
import io
import json
import sys
from typing import NoReturn

import pytest
from django.core.management import ManagementUtility
from django.db import OperationalError, connection

from ops.management.commands import demo
from ops.management.commands.demo import make_demo_tenant
from routing.models import SmtpCredential
from tenants.context import tenant_schema
from tenants.keys import ensure_service_keys, forget_signing_keys, signing_keys
from tenants.models import ClaimedDomain, PlatformAuditEntry, ServiceKey, Tenant, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def manage(capsys, monkeypatch):
    """Run a command as from the shell; gives status, output and error text."""

    def run(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        # A command closes its connections at the end; here the test's transaction hangs on them.
        monkeypatch.setattr("django.core.management.base.connections.close_all", lambda: None)
        capsys.readouterr()
        status = 0
        try:
            ManagementUtility(["manage.py", *arguments]).execute()
        except SystemExit as end:
            status = int(end.code or 0)
        printed = capsys.readouterr()
        errors = "\n".join(line for line in printed.err.splitlines() if not line.startswith('{"'))
        return status, printed.out, errors

    return run


def refused(result: tuple[int, str, str]) -> str:
    """The one line of a refusal."""
    status, out, error = result
    assert status != 0
    assert out == ""
    (line,) = error.strip().splitlines()
    assert "Traceback" not in line
    return line


def fine(result: tuple[int, str, str]) -> str:
    status, out, error = result
    assert (status, error) == (0, "")
    return out


def test_a_domain_gets_mail_in_three_commands(manage):
    fine(manage("tenant", "create", "acme", "--owner", "o@acme.example"))
    fine(manage("domain", "add", "acme", "example.org", "--verified"))
    out = fine(
        manage("route", "add", "acme", "*@example.org", "a@x.example", "b@x.example", "--confirmed")
    )

    assert out == "*@example.org goes to 2 destinations.\n"
    (route,) = json.loads(fine(manage("route", "list", "acme", "--json")))
    assert route["address"] == "*@example.org"
    assert sorted(route["confirmed"]) == ["a@x.example", "b@x.example"]
    (domain,) = json.loads(fine(manage("domain", "list", "acme", "--json")))
    assert (domain["name"], domain["standing"]) == ("example.org", "served")
    (tenant,) = json.loads(fine(manage("tenant", "list", "--json")))
    assert (tenant["slug"], tenant["domains"]) == ("acme", 1)
    assert PlatformAuditEntry.objects.filter(action="domain.verified", actor__contains="manage.py")


def test_the_owners_password_comes_from_standard_input(manage):
    fine(
        manage(
            *("tenant", "create", "acme", "--owner", "o@acme.example", "--password-stdin"),
            stdin="correct horse battery\n",
        )
    )

    assert User.objects.get().check_password("correct horse battery")
    assert "standard input" in refused(
        manage("tenant", "create", "beta", "--owner", "o@beta.example", "--password-stdin")
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tenant", "create", "Not A Slug", "--owner", "o@x.example"), "lower-case"),
        (("tenant", "create", "public", "--owner", "o@x.example"), "reserved"),
        (("tenant", "create", "beta", "--owner", "not an address"), "valid email"),
        (("tenant", "create", "ada", "--owner", "o@x.example"), "already"),
        (("tenant", "create", "beta"), "--owner"),
        (("tenant", "delete", "ada"), "confirm"),
        (("tenant", "delete", "ada", "--yes", "mallory"), "confirm"),
        (("tenant", "suspend", "nobody"), "no tenant nobody"),
        (("tenant", "explode"), "invalid choice"),
        (("tenant",), "VERB"),
        (("domain", "add", "ada", "co.uk"), "public suffix"),
        (("domain", "add", "ada", "mxax.test", "--verified"), "service itself"),
        (("domain", "add", "ada", "a\r\nb.example"), "not a mail domain"),
        (("domain", "check", "ada", "example.net"), "domain list"),
        (("domain", "remove", "ada", "example.net"), "domain list"),
        (("route", "add", "ada", "hi@example.net", "a@x.example"), "add the domain first"),
        (("route", "remove", "ada", "hi@example.net"), "no route"),
        (("route", "pause", "ada", "hi@example.net", "--mode", "sleep"), "invalid choice"),
        (("credential", "create", "ada", "--domain", "example.net"), "add it first"),
        (("credential", "revoke", "ada", "ada.xyz"), "no credential"),
        (("service", "key", "activate", "mx1999a"), "service key"),
        (("route", "list", "ada", "--domain", "example.net"), "domain list"),
        (("queue", "list", "--state", "asleep"), "invalid choice"),
        (("queue", "list", "--tenant", "nobody"), "no tenant nobody"),
        (("queue",), "ACTION"),
        (("trace",), "--recipient is required"),
        (("trace", "nonsense"), "26 letters and digits"),
        (("retention", "--wet-run"), "unrecognized"),
    ],
)
def test_a_refusal_is_one_line_with_the_cure(ada, manage, arguments, says):
    assert says in refused(manage(*arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ("tenant", "list"),
        ("queue", "status", "--json"),
        ("queue", "list"),
        ("trace", "--recipient", "hi@example.org"),
        ("retention",),
        ("reencrypt",),
    ],
)
def test_a_database_that_is_away_is_one_line_with_the_cure(manage, monkeypatch, arguments):
    def gone(*_: object, **__: object) -> NoReturn:
        raise OperationalError("connection refused\nIs the server running?")

    monkeypatch.setattr(connection, "_cursor", gone)

    line = refused(manage(*arguments))

    assert "The database does not answer (connection refused): start it (`make run`)" in line


def test_mail_for_the_owner_of_the_demo_has_somewhere_to_go(manage):
    make_demo_tenant()

    routes = json.loads(fine(manage("route", "list", demo.SLUG, "--json")))

    # Else a new password, which goes to a domain that is hosted here, would be refused by us.
    assert {one["address"] for one in routes if one["confirmed"]} == {demo.ADDRESS, demo.OWNER}


def test_tenants_are_listed_by_slug(manage):
    for slug in ("zoe", "ada", "mia"):
        fine(manage("tenant", "create", slug, "--owner", f"o@{slug}.example"))

    listed = json.loads(fine(manage("tenant", "list", "--json")))

    assert [one["slug"] for one in listed] == ["ada", "mia", "zoe"]


def test_a_domain_is_claimed_with_a_record_to_publish(ada, manage):
    out = fine(manage("domain", "add", "ada", "bücher.example"))

    claim = ClaimedDomain.objects.get()
    assert claim.name == "xn--bcher-kva.example"
    assert f'_mxax-challenge.{claim.name}. TXT "mxax-verify={claim.token}"' in out
    records = json.loads(fine(manage("domain", "records", "ada", "bücher.example", "--json")))
    required = [r for r in records if r["need"] == "required"]
    assert {(r["type"], r["value"]) for r in required} == {
        ("TXT", f"mxax-verify={claim.token}"),
        ("MX", "10 mxax.test."),
    }
    assert fine(manage("domain", "add", "ada", "bücher.example", "--verified"))
    claim.refresh_from_db()
    assert (claim.state, claim.proof) == ("verified", "operator")


def test_the_records_of_our_own_names_are_a_zone(manage):
    from dnslib import RR

    assert len(ensure_service_keys()) == 4
    assert ensure_service_keys() == ()

    records = RR.fromZone(fine(manage("service", "records")))

    texts = {str(r.rname): b"".join(r.rdata.data).decode() for r in records if r.rtype == 16}
    assert texts["_dmarc.fwd.mxax.test."].startswith("v=DMARC1; p=reject;")
    assert "adkim=s; aspf=s" in texts["_dmarc.mxax.test."]
    assert texts["fwd.mxax.test."] == "v=spf1 a:mxax.test -all"
    assert sum("k=rsa; p=MII" in text for text in texts.values()) == 2
    assert sum("k=ed25519; p=" in text for text in texts.values()) == 2


def test_our_keys_are_loaded_once_and_rotated_by_hand(manage):
    ensure_service_keys()
    forget_signing_keys()
    before = signing_keys("forward")
    assert [key.algorithm.value for key in before] == ["rsa-sha256", "ed25519-sha256"]
    assert {key.domain for key in before} == {"fwd.mxax.test"}
    assert signing_keys(ServiceKey.Purpose.FORWARD)[0] is before[0]

    fine(manage("service", "key", "rotate", "--purpose", "forward"))
    waiting = ServiceKey.objects.get(state="next")
    assert "waits already" in refused(manage("service", "key", "rotate", "--purpose", "forward"))
    fine(manage("service", "key", "activate", waiting.selector))

    forget_signing_keys()
    assert signing_keys("forward")[0].selector == waiting.selector
    keys = json.loads(fine(manage("service", "key", "--json")))
    assert sorted(key["state"] for key in keys) == ["active"] * 4 + ["retired"]
    assert "PRIVATE" not in str(keys)
    forget_signing_keys()


def test_a_credential_is_shown_once_and_kept_as_scram_keys(ada, manage):
    ada.has_domain("example.org")

    made = json.loads(
        fine(manage("credential", "create", "ada", "--address", "Hi@example.org", "--json"))
    )

    assert set(made) == {"username", "secret"}
    assert made["username"].startswith("ada.")
    assert len(base64.b32decode(made["secret"].upper())) * 8 >= 128
    with tenant_schema(ada.tenant.pk):
        row = SmtpCredential.objects.get()
    assert (row.username, row.address) == (made["username"], "Hi@example.org")
    salted = hashlib.pbkdf2_hmac("sha256", made["secret"].encode(), row.salt, row.iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    assert hashlib.sha256(client_key).digest() == row.stored_key
    assert hmac.digest(salted, b"Server Key", "sha256") == row.server_key


def test_an_export_is_complete_and_without_secrets(ada, manage, tmp_path, monkeypatch):
    monkeypatch.setattr("pathlib.Path.chmod", lambda *_: pytest.fail("it was somebody else's"))
    ada.has_domain("example.org")
    ada.has_route("hi@example.org", "friend@destination.example")
    made = json.loads(fine(manage("credential", "create", "ada", "--json")))
    path = tmp_path / "ada.json"

    fine(manage("tenant", "export", "ada", "--output", str(path)))

    text = path.read_text()
    export = json.loads(text)
    assert (export["format"], export["version"]) == ("mxax tenant export", 2)
    assert export["members"][0]["user__email"] == "ada@ada.example"
    assert export["domains"][0]["name"] == "example.org"
    assert export["tables"]["routing_route"][0]["pattern"] == "hi"
    assert export["tables"]["routing_destination"][0]["address"] == "friend@destination.example"
    assert export["tables"]["routing_smtpcredential"][0]["username"] == made["username"]
    assert export["queue"]["delivery_message"] == []
    assert "routing_smtpcredential.stored_key" in export["left_out"]
    assert made["secret"] not in text
    assert path.stat().st_mode & 0o077 == 0
    assert "cannot be written" in refused(manage("tenant", "export", "ada", "--output", str(path)))
    assert json.loads(fine(manage("tenant", "export", "ada")))["tenant"]["slug"] == "ada"


@pytest.mark.parametrize(
    ("confirmed", "typed"), [(["--yes", "ada"], ""), (["--yes"], ""), ([], "ada\n")]
)
def test_deleting_a_tenant_by_name(ada, manage, confirmed, typed):
    out = fine(manage("tenant", "delete", "ada", *confirmed, stdin=typed))

    assert "deleted" in out
    assert not Tenant.objects.exists()


def test_tables_are_aligned_and_empty_lists_say_what_to_do(manage, ada):
    assert "route add" in fine(manage("route", "list", "ada"))
    ada.has_domain("公司.example")
    ada.has_route("hi@公司.example", "friend@destination.example")

    heads, row = fine(manage("route", "list", "ada")).splitlines()

    assert heads.index("mode") == row.index("on")
