"""A tenant with one at least of everything, as the tests that walk over all pages need it."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from delivery.acceptance import KeptMessage, insert_messages
from delivery.messagelog.models import LoggedEvent, LoggedMessage, RouteDay
from delivery.models import Content, Delivery, DeliveryEvent, Message
from mail.facts import LogLevel
from mail.plan import Direction, Hold, PlannedDelivery, PlannedMessage
from mail.policy.trust import ListKind
from mail.trace import format_trace_id, new_trace_id
from routing.models import (
    ApiToken,
    Destination,
    DkimKey,
    Domain,
    Route,
    SmtpCredential,
    TrustedSealer,
    TrustEntry,
)
from routing.services import create_credential
from routing.services.tokens import create_token
from routing.services.trust import EntryWanted, add_entry, add_sealer
from tenants.audit import Actor
from tenants.clock import database_now
from tenants.context import public_schema, tenant_schema
from tenants.models import ClaimedDomain, Invitation, Membership, SupportGrant, User
from tests.cast import LONG_DOMAIN, PASSWORD, Person

HOSTILE = "<script>alert(1)</script> \u202egnp.exe javascript:alert(1)"


@dataclass(frozen=True)
class Estate:
    """Whose it is, and what stands in addresses of its pages, by the name of the parameter."""

    owner: Person
    values: dict[str, Any]


def build(ada: Person) -> Estate:
    """Fill Ada's tenant."""
    _domains_and_routes(ada)
    _people(ada)
    waiting = _log(ada)
    with tenant_schema(ada.tenant.pk):
        create_token(tenant=ada.tenant, label="deploy script", scopes=["read"], actor="test")
        create_credential(tenant=ada.tenant, label="printer", domain="example.org", actor="test")
        domain = Domain.objects.get(name="example.org")
        key = DkimKey.objects.create(
            domain=domain, algorithm="rsa", selector="mx1", sealed_private=b"x", public="MIIB"
        )
        route = Route.objects.get(pattern="hi", domain=domain)
        values = {
            "domain_id": domain.pk,
            "name": domain.name,
            "domain_name": domain.name,
            "key_id": key.pk,
            "route_id": route.pk,
            "destination_id": Destination.objects.order_by("id").first().pk,
            "token_id": ApiToken.objects.get().pk,
            "entry_id": _lists(ada),
            "sealer_id": TrustedSealer.objects.get().pk,
            "credential_id": SmtpCredential.objects.get().pk,
            "trace_id": format_trace_id(waiting),
            "delivery_id": Delivery.objects.get(message_id=waiting).pk,
            "held_id": _quarantined(ada),
        }
    with public_schema():
        values |= {
            "member_id": Membership.objects.get(user__email="ben@ben.example").pk,
            "user_id": User.objects.get(email="ben@ben.example").pk,
            "invitation_id": Invitation.objects.get().pk,
        }
    return Estate(ada, values)


def _domains_and_routes(ada: Person) -> None:
    ada.has_domain("example.org")
    ada.has_domain("xn--bcher-kva.example")
    ada.has_domain("waiting.example", verified=False)
    ClaimedDomain.objects.filter(name="waiting.example").update(last_result="No record was found.")
    ada.has_domain(LONG_DOMAIN)
    ada.has_route("hi@example.org", "friend@far.example", "second@far.example")
    ada.has_route(f"{'x' * 64}@{LONG_DOMAIN}", f"{'y' * 64}@{'z' * 60}.far.example")
    ada.has_route("*@example.org", "everything@far.example")
    ada.has_route("sales@xn--bcher-kva.example", "asked@far.example", confirmed=False)


def _people(ada: Person) -> None:
    now = database_now()
    ben = User.objects.filter(email="ben@ben.example").first()
    if ben is None:
        ben = User.objects.create_user("ben@ben.example", "correct horse battery", name=HOSTILE)
        Membership.objects.create(tenant=ada.tenant, user=ben, role=Membership.Role.VIEWER)
    sam = User.objects.create_user("sam@service.example", is_staff=True)
    SupportGrant.objects.create(
        tenant=ada.tenant,
        staff=sam,
        reason="Ticket 4711",
        starts_at=now,
        ends_at=now + timedelta(minutes=30),
    )
    Invitation.objects.create(
        tenant=ada.tenant,
        email="carl@carl.example",
        role=Membership.Role.EDITOR,
        digest=os.urandom(32),
        invited_by=ada.email,
        created_at=now,
        expires_at=now + timedelta(days=7),
    )


def _lists(ada: Person) -> int:
    """Entries of every kind and scope, and a sealer; gives the id of an entry."""
    actor = Actor("test")
    route = Route.objects.get(pattern="hi", domain__name="example.org")
    soon = database_now() + timedelta(days=3)
    for wanted in (
        EntryWanted(ListKind.BLOCK, ".spam.example", note=HOSTILE),
        EntryWanted(ListKind.ALLOW, "192.0.2.0/24", domain="example.org", expires_at=soon),
        EntryWanted(ListKind.ALLOW, "carol@author.example", route_id=route.pk),
    ):
        add_entry(tenant=ada.tenant, wanted=wanted, actor=actor)
    add_sealer(tenant=ada.tenant, name="lists.example", actor=actor, note=HOSTILE)
    return TrustEntry.objects.order_by("id").first().pk


def new_trace() -> UUID:
    return new_trace_id(time.time_ns() // 1_000_000, os.urandom(10))


def _log(ada: Person) -> UUID:
    """Messages of every state, the last one still waiting; gives its trace id."""
    now = database_now()
    with tenant_schema(ada.tenant.pk):
        for number, state in enumerate(("delivered", "failed", "refused", "dropped", "deferred")):
            trace_id = new_trace()
            at = now - timedelta(hours=number)
            LoggedMessage.objects.create(
                trace_id=trace_id,
                at=at,
                state=state,
                direction="forward",
                reverse_path="carol@author.example",
                recipient="hi@example.org",
                author="carol@author.example",
                subject=HOSTILE,
                client_ip="192.0.2.7",
                size_octets=4321,
                reason=HOSTILE if state == "refused" else "",
                changed_at=at,
            )
            LoggedEvent.objects.create(
                id=number + 1,
                trace_id=trace_id,
                kind="refused" if state == "refused" else "accepted",
                at=at,
                recipient="hi@example.org",
                data={"reason": HOSTILE, "stage": "rcpt", "reply": "550 5.1.1 <b>no</b>"},
            )
        for back in range(30):
            for route_id in (0, Route.objects.order_by("id").first().pk):
                RouteDay.objects.create(
                    route_id=route_id,
                    day=(now - timedelta(days=back)).date(),
                    accepted=100 - back,
                    delivered=90 - back,
                    failed=back % 7,
                    refused=back % 5,
                    last_at=now - timedelta(days=back),
                )
        return _queued(ada)


def _queued(ada: Person) -> UUID:
    trace_id = new_trace()
    Message.objects.create(
        id=trace_id,
        tenant_id=ada.tenant.pk,
        direction="forward",
        reverse_path="carol@author.example",
        client_ip="192.0.2.7",
        helo="author.example",
        protocol="ESMTP",
        size_octets=1234,
        header_octets=300,
        chunk_count=1,
        smtputf8=False,
        eight_bit=False,
        log_level=3,
    )
    Content.objects.create(message_id=trace_id, number=0, tenant_id=ada.tenant.pk, octets=b"x")
    Delivery.objects.create(
        message_id=trace_id,
        tenant_id=ada.tenant.pk,
        recipient="hi@example.org",
        destination="friend@far.example",
        state=Delivery.State.QUEUED,
        attempts=2,
        next_attempt_at=database_now() + timedelta(hours=1),
        last_reply="451 4.7.1 Try again <later>",
    )
    data: dict[str, Any] = {
        "direction": "forward",
        "reverse_path": "carol@author.example",
        "author": "carol@author.example",
        "recipient": "hi@example.org",
        "recipients": [["hi@example.org", "friend@far.example"]],
        "client_ip": "192.0.2.7",
        "helo": "author.example",
        "protocol": "ESMTPS",
        "tls": "TLSv1.3",
        "size_octets": 1234,
    }
    DeliveryEvent.objects.create(
        tenant_id=ada.tenant.pk,
        message_id=trace_id,
        kind="accepted",
        data=json.loads(json.dumps(data)),
    )
    return trace_id


def _quarantined(ada: Person) -> int:
    """A message of a stranger who tries it, kept as the edge keeps it; gives its delivery's id."""
    head = (
        f"From: Carol <carol@author.example>\r\nSubject: {HOSTILE}\r\nContent-Type: text/html\r\n"
    ).encode()
    octets = head + b"\r\n" + f"<p>{HOSTILE}</p>\r\n".encode()
    held = PlannedDelivery(
        "hi@example.org",
        "friend@far.example",
        hold=Hold.QUARANTINE,
        hold_reason=f"DMARC fails {HOSTILE}",
        hold_days=14,
    )
    plan = PlannedMessage(
        trace_id=new_trace(),
        tenant_id=ada.tenant.pk,
        direction=Direction.FORWARD,
        reverse_path="carol@author.example",
        outgoing_path="carol@author.example",
        client_ip="192.0.2.7",
        helo="author.example",
        protocol="ESMTP",
        tls="",
        size_octets=len(octets),
        header_octets=len(head),
        smtputf8=False,
        eight_bit=True,
        log_level=LogLevel.METADATA,
        deliveries=(held,),
    )
    insert_messages([KeptMessage(plan, (octets,), 0, 1)])
    return Delivery.objects.get(message_id=plan.trace_id).pk


def fill(slug: str = "ada") -> dict[str, str]:
    """Build the estate in an installation; gives the addresses of its pages by name, as JSON too.

    For `manage.py shell`: the browser's tests see the same tenant as the walk.
    """
    from tenants.services import create_tenant
    from tests.panel.walk import NAMESPACES, NoExample, pages

    email = f"{slug}@{slug}.example"
    tenant = create_tenant(slug=slug, owner_email=email, password=PASSWORD, actor="test")
    estate = build(Person(email, tenant))
    values = {"slug": slug, **estate.values}
    paths = {}
    for page in pages(*NAMESPACES):
        try:
            paths[page.full_name] = page.path(values)
        except NoExample:
            continue  # an address with a secret in it: the journeys come by those
    print(json.dumps(paths))
    return paths
