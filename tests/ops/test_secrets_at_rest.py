"""Whoever has a copy of the database has no mail and no secret; a new data key replaces the old."""

from __future__ import annotations

import base64
import dataclasses
import os
import threading
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import close_old_connections, connection
from django.utils import timezone

from delivery import sweeps
from delivery.acceptance import KeptMessage, insert_messages
from delivery.content import unseal_chunk
from delivery.models import Content, Delivery, Message
from mail.facts import LogLevel
from mail.plan import Direction, PlannedDelivery, PlannedMessage
from mail.signing import Algorithm, generate_key_pair
from mail.trace import new_trace_id
from routing.models import DkimKey, Domain, Webhook
from routing.sealed import dkim_context, webhook_context
from routing.services import create_credential
from routing.services.keys import create_keys
from tenants import reencryption
from tenants.context import tenant_schema
from tenants.keys import ensure_service_keys, forget_signing_keys, seal_context, signing_keys
from tenants.lasting import ensure_root, forget_lasting_keys, lasting_key
from tenants.models import SealedSecret, ServiceKey, User
from tenants.otp import printed_secret, secret_of
from tenants.services.factors import enrol
from tenants.vault import VaultError, prove_data_key, vault
from tests.routing.test_confirmations import ask, nobody_rings  # noqa: F401

pytestmark = pytest.mark.django_db

BODY = b"the treasure lies under the old oak\r\n"


def keep(tenant, *, body=BODY, level=LogLevel.CONTENT):
    """A message as the edge keeps it."""
    header = b"From: carol@author.example\r\nSubject: treasure map\r\n"
    octets = header + b"\r\n" + body
    trace_id = new_trace_id(1_700_000_000_000, os.urandom(10))
    plan = PlannedMessage(
        trace_id=trace_id,
        tenant_id=tenant.pk,
        direction=Direction.FORWARD,
        reverse_path="carol@author.example",
        outgoing_path="",
        client_ip="192.0.2.1",
        helo="author.example",
        protocol="ESMTP",
        tls="",
        size_octets=len(octets),
        header_octets=len(header),
        smtputf8=False,
        eight_bit=False,
        log_level=level,
        deliveries=(PlannedDelivery("hi@example.org", "friend@away.example"),),
    )
    insert_messages([KeptMessage(plan, (octets,), first_chunk_number=0, chunk_count=1)])
    return trace_id


def dump(*schemas: str) -> str:
    """Every row of every table as PostgreSQL prints it."""
    text = []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables WHERE schemaname = ANY(%s)",
            [list(schemas)],
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT t::text FROM {table} t")
            text += [row[0] for row in cursor]
    return "\n".join(text).lower()


def traces_of(secret: str | bytes) -> list[str]:
    """How octets may stand in a dump."""
    octets = secret.encode() if isinstance(secret, str) else secret
    return [
        octets.decode("latin-1").lower(),
        octets.hex(),
        base64.b64encode(octets).decode().rstrip("=").lower(),
        base64.b32encode(octets).decode().rstrip("=").lower(),
    ]


def test_a_copy_of_the_database_holds_no_secret_in_clear(ada):
    ada.has_domain("example.org")
    token = ask(ada)["confirm"].rsplit("-", 1)[1]
    stop = ask(ada, "other@away.example", "sales@example.org")["stop"].rsplit("-", 1)[1]
    user = User.objects.create_user("staff@staff.example", "correct horse battery staple")
    device = enrol(user=user, actor="test")
    credential = create_credential(tenant=ada.tenant, actor="test")
    ensure_service_keys()
    customers = create_keys(tenant=ada.tenant, domain="example.org", actor="test")
    keep(ada.tenant)
    pems = [
        vault().unseal(bytes(key.sealed_private), context=seal_context(key.purpose, key.selector))
        for key in ServiceKey.objects.all()
    ]
    for key in customers:
        context = dkim_context(key.domain_id, key.selector)
        pems.append(vault().unseal(bytes(key.sealed_private), context=context))
    der = [base64.b64decode(b"".join(pem.splitlines()[1:-1])) for pem in pems]

    text = dump("public", ada.tenant.schema_name)

    secrets = [BODY[4:20], b"treasure map", token, stop, secret_of(device), printed_secret(device)]
    secrets += ["correct horse battery", credential.secret, "private key", *(d[40:60] for d in der)]
    secrets += [lasting_key("stop links"), settings_key()]
    assert len(pems) == 6
    for secret in secrets:
        for form in traces_of(secret):
            assert form not in text, form
    assert "friend@away.example" in text, "the scan does see rows"


def settings_key() -> bytes:
    from django.conf import settings

    return settings.ENV.data_keys[0]


@pytest.fixture
def keys(db, settings):
    """Choose the data keys of this process; the test's own come back at the end."""
    original = settings.ENV

    def choose(*chosen: bytes) -> None:
        settings.ENV = dataclasses.replace(original, data_keys=chosen)
        vault.cache_clear()
        forget_lasting_keys()
        forget_signing_keys()

    prove_data_key(create=True)
    choose(*original.data_keys)
    yield choose
    SealedSecret.objects.all().delete()  # may be under a key of the test's
    choose(*original.data_keys)
    settings.ENV = original
    ensure_root()
    lasting_key("tests")  # remembered by the process, as before


def run(**options) -> str:
    out = StringIO()
    call_command("reencrypt", stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def sealed(ada):
    """One value of each kind, under the key of now."""
    ada.has_domain("example.org")
    ensure_service_keys()
    device = enrol(user=User.objects.create_user("s@staff.example"), actor="test")
    pem, public = generate_key_pair(Algorithm.ED25519_SHA256)
    with tenant_schema(ada.tenant.pk):
        domain = Domain.objects.get()
        dkim = DkimKey(domain=domain, algorithm="ed25519", selector="s1", public=public)
        dkim.sealed_private = vault().seal(pem, context=dkim_context(domain.pk, "s1"))
        dkim.save()
        hook = Webhook.objects.create(url="https://x.example/", sealed_secret=b"")
        hook.sealed_secret = vault().seal(b"hook", context=webhook_context(hook.pk))
        hook.save()
    return {"device": device, "pem": pem, "dkim": dkim, "hook": hook, "mail": keep(ada.tenant)}


def test_a_new_key_replaces_the_old_one_everywhere(ada, sealed, keys):
    old, new = settings_key(), os.urandom(32)
    before = lasting_key("contacted addresses")
    seed = secret_of(sealed["device"])
    keys(new, old)

    assert "\n9 values sealed again" in f"\n{run()}"
    assert "0 values are under another key" in run(dry_run=True)

    keys(new)
    prove_data_key()
    assert lasting_key("contacted addresses") == before, "who said not-me stays known"
    assert len(signing_keys("forward")) == 2
    sealed["device"].refresh_from_db()
    assert secret_of(sealed["device"]) == seed
    with tenant_schema(ada.tenant.pk):
        dkim, hook = DkimKey.objects.get(), Webhook.objects.get()
        context = dkim_context(dkim.domain_id, dkim.selector)
        assert vault().unseal(bytes(dkim.sealed_private), context=context) == sealed["pem"]
        assert (
            vault().unseal(bytes(hook.sealed_secret), context=webhook_context(hook.pk)) == b"hook"
        )
    (piece,) = Content.objects.all()
    clear = unseal_chunk(piece.octets, tenant_id=ada.tenant.pk, message_id=sealed["mail"], number=0)
    assert clear.endswith(BODY)
    keys(old)
    with pytest.raises(VaultError):
        prove_data_key()


def test_it_goes_on_where_it_was_stopped(ada, sealed, keys, monkeypatch):
    for _ in range(50):
        keep(ada.tenant)
    keys(os.urandom(32), settings_key())
    real, left = reencryption._seal_again, [30]

    def stopped(column, row):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        real(column, row)

    monkeypatch.setattr(reencryption, "_seal_again", stopped)
    with pytest.raises(KeyboardInterrupt):
        run()
    monkeypatch.undo()

    said = run()

    assert 20 < int(said.splitlines()[-1].split()[0]) < 51
    assert "0 values" in run(dry_run=True)


def test_without_the_old_key_nothing_is_changed_and_one_line_says_so(ada, sealed, keys):
    before = dump("public")
    keys(os.urandom(32))

    with pytest.raises(CommandError, match="No data key opens"):
        run()

    assert dump("public") == before


@pytest.mark.django_db(transaction=True)
def test_mail_keeps_flowing_meanwhile(ada, keys):
    for _ in range(60):
        keep(ada.tenant)
    keys(os.urandom(32), settings_key())
    stop, came = threading.Event(), []

    def edge_and_worker():
        try:
            while not stop.is_set():
                came.append(keep(ada.tenant))
                oldest = Message.objects.order_by("?").first()
                Delivery.objects.filter(message=oldest).delete()
                sweeps.sweep_finished_messages()
        finally:
            close_old_connections()
            connection.close()

    thread = threading.Thread(target=edge_and_worker)
    thread.start()
    try:
        run()
    finally:
        stop.set()
        thread.join(20)

    assert came
    for piece in Content.objects.all():
        clear = unseal_chunk(
            piece.octets, tenant_id=ada.tenant.pk, message_id=piece.message_id, number=0
        )
        assert clear.endswith(BODY)
        assert bytes(piece.octets)[1:5] == vault().ciphers[0][0]


def test_content_is_gone_an_hour_after_the_last_recipient_was_finished(ada):
    trace_id = keep(ada.tenant, level=LogLevel.METADATA)
    Delivery.objects.create(
        message_id=trace_id,
        tenant_id=ada.tenant.pk,
        recipient="b@example.org",
        destination="b@away.example",
    )
    first, last = Delivery.objects.order_by("id")
    for row, minutes in ((first, 300), (last, 44)):
        row.state = Delivery.State.FAILED
        row.finished_at = timezone.now() - timedelta(minutes=minutes)
        row.save()
    sweeps.sweep_failed_content()
    assert Content.objects.exists(), "the last recipient was finished 44 minutes ago"

    Delivery.objects.filter(pk=last.pk).update(finished_at=timezone.now() - timedelta(minutes=46))
    sweeps.sweep_failed_content()

    assert not Content.objects.exists()
    assert BODY.hex() not in dump("public")
