"""`manage.py tenant`: the tenants of this installation."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from ops.console import VerbCommand, add_json_flag, add_verbs
from tenants.export import export_tenant
from tenants.models import Tenant
from tenants.selectors import tenant_lines, tenant_of
from tenants.services import create_tenant, delete_tenant, resume_tenant, suspend_tenant

COLUMNS = ("slug", "standing", "owners", "domains", "pending", "created_at")


class Command(VerbCommand):
    help = "Makes, lists, suspends, resumes, exports and deletes tenants."
    noun = "tenant"

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = add_verbs(parser)
        create = verbs.add_parser("create", help="make a tenant")
        create.add_argument("slug", help="names it in URLs and commands")
        create.add_argument("--owner", required=True, metavar="EMAIL")
        create.add_argument(
            "--password-stdin", action="store_true", help="the owner's password, one line"
        )
        create.add_argument("--name", default="", help="as shown to people")
        add_json_flag(create)
        add_json_flag(verbs.add_parser("list", help="all tenants"))
        suspend = verbs.add_parser("suspend", help="stop a tenant's mail")
        suspend.add_argument("slug")
        suspend.add_argument("--abuse", action="store_true", help="answer 550 instead of 450")
        suspend.add_argument("--reason", default="", help="for the audit")
        verbs.add_parser("resume", help="let the mail flow again").add_argument("slug")
        export = verbs.add_parser("export", help="everything of a tenant, as JSON")
        export.add_argument("slug")
        export.add_argument("--output", metavar="FILE", help="a new file, not standard output")
        delete = verbs.add_parser("delete", help="erase a tenant, his queue and his log")
        delete.add_argument("slug")
        delete.add_argument(
            "--yes", nargs="?", const=True, metavar="SLUG", help="confirm; else you are asked"
        )

    def do_create(self, options: dict[str, Any]) -> None:
        password = first_line_of_input() if options["password_stdin"] else None
        tenant = create_tenant(
            slug=options["slug"],
            owner_email=options["owner"],
            password=password,
            name=options["name"],
            actor=self.actor(options),
        )
        if options["json"]:
            self.say_json({"id": tenant.pk, "slug": tenant.slug, "schema": tenant.schema_name})
        else:
            self.say(f"Tenant {tenant.slug} is ready (schema {tenant.schema_name}).")

    def do_list(self, options: dict[str, Any]) -> None:
        empty = "No tenants yet: manage.py tenant create SLUG --owner EMAIL."
        self.say_lines(options, tenant_lines(), COLUMNS, empty)

    def do_suspend(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        suspend_tenant(
            tenant=tenant,
            for_abuse=options["abuse"],
            reason=options["reason"],
            actor=self.actor(options),
        )
        answer = "550 5.7.1" if options["abuse"] else "450 4.2.1"
        self.say(f"Tenant {tenant.slug} is suspended: mail for it is answered {answer}.")

    def do_resume(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        resume_tenant(tenant=tenant, actor=self.actor(options))
        self.say(f"Tenant {tenant.slug} is active.")

    def do_export(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        if not options["output"]:
            for text in export_tenant(tenant, actor=self.actor(options)):
                self.stdout.write(text, ending="")
            self.say("")
            return
        path = Path(options["output"])
        try:
            # Nobody else's from the first moment: who has it open by then could read on.
            with open(path, "x", encoding="utf-8", opener=partial(os.open, mode=0o600)) as file:
                file.writelines(export_tenant(tenant, actor=self.actor(options)))
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
        self.say(f"Tenant {tenant.slug} is written to {path}.")

    def do_delete(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        typed = tenant.slug if options["yes"] is True else options["yes"] or self._typed(tenant)
        erased = delete_tenant(tenant=tenant, typed=typed, actor=self.actor(options))
        messages = erased.get("delivery_message", 0)
        self.say(f"Tenant {options['slug']} is deleted, with {messages} queued messages.")

    def _typed(self, tenant: Tenant) -> str:
        """What is typed to confirm, at a terminal or into a pipe; "" where nobody types."""
        if sys.stdin.isatty():
            self.stderr.write(f"{tenant.slug} goes for ever, with its mail. Type {tenant.slug}:")
        return sys.stdin.readline().strip()


def first_line_of_input() -> str:
    """The password. Raises CommandError where there is none."""
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise CommandError("No password came on standard input: pipe one line into the command.")
    return password
