"""`manage.py service`: what our own names must publish, and our own keys."""

from argparse import SUPPRESS
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from ops.console import VerbCommand, add_json_flag, add_verbs, cell, table
from ops.records import Record, service_records, zone_lines
from tenants.context import public_schema
from tenants.keys import activate_key, prepare_next_key, record_name
from tenants.models import ServiceKey


class Command(VerbCommand):
    help = "Prints the records of our own names; lists, makes and activates our own keys."
    noun = "service"

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = add_verbs(parser)
        add_json_flag(verbs.add_parser("records", help="what our own names must publish"))
        key = verbs.add_parser("key", help="our own signing keys")
        add_json_flag(key)
        actions = key.add_subparsers(dest="action", metavar="ACTION")
        listing = actions.add_parser("list", help="all keys (what happens without an action)")
        rotate = actions.add_parser("rotate", help="make a key to be published and then activated")
        rotate.add_argument("--purpose", choices=ServiceKey.Purpose.values, required=True)
        rotate.add_argument(
            "--algorithm", choices=ServiceKey.Algorithm.values, default=ServiceKey.Algorithm.RSA
        )
        for below in (listing, rotate):  # `service key --json list` as well
            add_json_flag(below, default=SUPPRESS)
        activate = actions.add_parser("activate", help="sign with a key that was published")
        activate.add_argument("selector")

    def do_records(self, options: dict[str, Any]) -> None:
        records = service_records(_keys_in_use(), settings.ENV)
        self._say_records(options, records)

    def do_key(self, options: dict[str, Any]) -> None:
        action = options.get("action") or "list"
        getattr(self, f"_{action}")(options)

    def _list(self, options: dict[str, Any]) -> None:
        with public_schema():
            keys = list(ServiceKey.objects.order_by("purpose", "algorithm", "created_at"))
        rows = [
            {
                "name": record_name(key),
                "selector": key.selector,
                "purpose": key.purpose,
                "algorithm": key.algorithm,
                "state": key.state,
                "created_at": key.created_at,
            }
            for key in keys
        ]
        if options["json"]:
            self.say_json(rows)
        elif not rows:
            self.say("No keys yet: manage.py prepare makes them.")
        else:
            for line in table(list(rows[0]), [[cell(v) for v in row.values()] for row in rows]):
                self.say(line)

    def _rotate(self, options: dict[str, Any]) -> None:
        key = prepare_next_key(
            purpose=ServiceKey.Purpose(options["purpose"]),
            algorithm=ServiceKey.Algorithm(options["algorithm"]),
            actor=self.actor(options),
        )
        record = Record(
            *(record_name(key), "TXT", f"v=DKIM1; {key.public}"),
            f"publish, wait for the TTL, then: manage.py service key activate {key.selector}",
        )
        self._say_records(options, [record])

    def _activate(self, options: dict[str, Any]) -> None:
        key = activate_key(selector=options["selector"], actor=self.actor(options))
        self.say(
            f"{key.selector} signs from now on (within a minute everywhere). "
            "Leave the record of the old key for a week."
        )

    def _say_records(self, options: dict[str, Any], records: list[Record]) -> None:
        if options["json"]:
            self.say_json(records)
            return
        for line in zone_lines(records):
            self.say(line)


def _keys_in_use() -> list[ServiceKey]:
    with public_schema():
        in_use = ServiceKey.objects.exclude(state=ServiceKey.State.RETIRED)
        return list(in_use.order_by("purpose", "-algorithm", "created_at"))
