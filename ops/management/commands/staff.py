"""`manage.py staff`: who may open the admin sites."""

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from ops.console import VerbCommand
from ops.staff import create_staff, remove_staff, staff_of
from tenants.otp import printed_secret
from tenants.services.factors import enrol


class Command(VerbCommand):
    help = "Makes members of staff and their second factors."
    noun = "staff"

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        create = verbs.add_parser("create", help="an account that may open the admin sites")
        create.add_argument("email")
        create.add_argument(
            "--password-stdin", action="store_true", help="the password, one line; else one is made"
        )
        otp_verb = verbs.add_parser("otp", help="a new second factor, shown once")
        otp_verb.add_argument("email")
        remove = verbs.add_parser("remove", help="no longer staff; the account stays")
        remove.add_argument("email")

    def do_create(self, options: dict[str, Any]) -> None:
        password = None
        if options["password_stdin"]:
            password = sys.stdin.readline().rstrip("\r\n")
            if not password:
                raise CommandError("There was no password on standard input.")
        made = create_staff(email=options["email"], password=password, actor=self.actor(options))
        self.say(f"{made.user.email} is staff.")
        if made.password:
            self.say(f"Password   {made.password}")
            self.say("It is not kept and cannot be shown again.")
        self.say(f"Next       manage.py staff otp {made.user.email}")

    def do_otp(self, options: dict[str, Any]) -> None:
        user = staff_of(options["email"])
        device = enrol(user=user, actor=self.actor(options))
        self.say(f"Secret     {printed_secret(device)}")
        self.say(f"As a URL   {device.config_url}")
        self.say("Put it into an authenticator now: it cannot be shown again.")

    def do_remove(self, options: dict[str, Any]) -> None:
        remove_staff(email=options["email"], actor=self.actor(options))
        self.say(f"{options['email']} is no longer staff.")
