"""`manage.py demo`: one real message through the whole service, and its trace.

Makes a demo tenant where there is none yet. Only with the embedded database and the catcher, so
that nobody sends a demo into the world. The owner's password is made at random and shown once.
"""

import secrets
import smtplib
import time
from email import policy
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError, CommandParser

from delivery.selectors import story_of
from mail.trace import parse_trace_id
from ops.console import OneLineCommand
from routing.services import add_domain, add_route
from tenants.models import Tenant, User
from tenants.services import create_tenant

SLUG, DOMAIN = "demo", "demo.example"
OWNER = f"owner@{DOMAIN}"
PASSWORD_OCTETS = 12
ADDRESS, DESTINATION = f"hello@{DOMAIN}", "friend@destination.example"
# The owner's own mail (a new password) comes to a domain that is hosted here: it needs a route too.
ROUTES = {ADDRESS: DESTINATION, OWNER: "owner@destination.example"}
PATIENCE_SECONDS = 30


class Command(OneLineCommand):
    help = "Sends one message through the MX, waits until it came out, prints its trace."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--if-first", action="store_true", help="do nothing when there is any tenant already"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        env = settings.ENV
        if not (env.embedded and env.catches_mail):
            if options["if_first"]:
                return
            raise CommandError("the demo needs the embedded database and the catcher")
        if options["if_first"] and Tenant.objects.exists():
            return
        password = make_demo_tenant()
        try:
            trace_id = send_demo_message()
        except (OSError, smtplib.SMTPException) as fault:
            raise CommandError(f"the MX does not answer ({fault}): start it (`make run`)") from None
        wait_until_delivered(trace_id)
        call_command("trace", trace_id, stdout=self.stdout)
        if password:
            where = f"{env.panel_url}/sign-in/"
            self.stdout.write(f"\nSign in at {where} as {OWNER}, password {password}")
            self.stdout.write("(shown this once; a new one comes by mail, which the catcher keeps)")


def make_demo_tenant() -> str:
    """The tenant, its domain by the operator's word, confirmed routes; its owner's password.

    "" where the tenant is there already.
    """
    if Tenant.objects.filter(slug=SLUG).exists():
        return ""
    known = User.objects.filter(email=OWNER).exists()
    password = "" if known else secrets.token_urlsafe(PASSWORD_OCTETS)
    tenant = create_tenant(slug=SLUG, owner_email=OWNER, password=password or None, actor="demo")
    add_domain(tenant=tenant, name=DOMAIN, by_operator=True, actor="demo")
    for address, destination in ROUTES.items():
        add_route(
            tenant=tenant, address=address, destinations=[destination], confirmed=True, actor="demo"
        )
    return password


def send_demo_message() -> str:
    """Send it by SMTP; gives the trace id of the reply to DATA."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = "Ada <ada@author.example>"
    message["To"] = ADDRESS
    message["Subject"] = "The first message"
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{time.time_ns()}@author.example>"
    message.set_content("It came in at the MX, and this is where it came out.\n")
    listen = settings.ENV.mx_listen.reachable()
    with smtplib.SMTP(listen.host, listen.port, "author.example", timeout=30) as client:
        client.ehlo()
        for code, text in (
            client.mail("ada@author.example"),
            client.rcpt(ADDRESS),
            client.data(message.as_bytes()),
        ):
            if code >= 400:
                raise CommandError(f"the MX refused the demo message: {code} {text.decode()}")
    return text.decode().split()[-1]


def wait_until_delivered(trace_id: str) -> None:
    """Wait until the catcher has it and the log knows. Raises CommandError when that is late."""
    mailbox = settings.ENV.data_dir / "mail" / "new"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        caught = any(trace_id.encode() in path.read_bytes() for path in mailbox.glob("*"))
        story = story_of(parse_trace_id(trace_id)) if caught else None
        if story is not None and story.result == "delivered":
            return
        time.sleep(0.05)
    raise CommandError(
        f"the demo message did not come out within {PATIENCE_SECONDS} s: "
        f"`manage.py trace {trace_id}` says where it stands"
    )
