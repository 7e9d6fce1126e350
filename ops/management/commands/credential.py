"""`manage.py credential`: user names and secrets for submission."""

from typing import Any

from django.core.management.base import CommandParser

from ops.console import VerbCommand, add_json_flag, add_verbs
from routing.services import create_credential, revoke_credential
from tenants.selectors import tenant_of


class Command(VerbCommand):
    help = "Makes and revokes credentials for sending mail; the secret is shown once."
    noun = "credential"

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = add_verbs(parser)
        create = verbs.add_parser("create", help="make a credential")
        create.add_argument("slug")
        scope = create.add_mutually_exclusive_group()
        scope.add_argument("--domain", default="", metavar="NAME", help="only for this domain")
        scope.add_argument("--address", default="", help="only for this address")
        add_json_flag(create)
        revoke = verbs.add_parser("revoke", help="make a credential useless")
        revoke.add_argument("slug")
        revoke.add_argument("username")

    def do_create(self, options: dict[str, Any]) -> None:
        made = create_credential(
            tenant=tenant_of(options["slug"]),
            domain=options["domain"],
            address=options["address"],
            actor=self.actor(options),
        )
        if options["json"]:
            self.say_json(made)
            return
        self.say(f"User name  {made.username}")
        self.say(f"Secret     {made.secret}")
        self.say("The secret is not kept and cannot be shown again.")

    def do_revoke(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        username = options["username"]
        revoke_credential(tenant=tenant, username=username, actor=self.actor(options))
        self.say(f"The credential {username} is revoked.")
