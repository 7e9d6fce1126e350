"""`manage.py retention`: apply every tenant's log retention now, as beat does every 15 minutes."""

from typing import Any

from django.core.management.base import CommandParser

from delivery.retention import KINDS, apply_retention
from ops.console import OneLineCommand, table


class Command(OneLineCommand):
    help = "Remove from the tenants' logs what their policies no longer keep."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *args: Any, **options: Any) -> None:
        removed = apply_retention(dry_run=options["dry_run"])
        lines = [
            (slug, *(f"{rows[kind]:,}" for kind in KINDS))
            for slug, rows in removed.items()
            if any(rows.values())
        ]
        for line in table(("tenant", *KINDS), lines) if lines else ():
            self.stdout.write(line)
        total = sum(sum(rows.values()) for rows in removed.values())
        would = "would be " if options["dry_run"] else ""
        self.stdout.write(f"{total:,} rows of {len(removed):,} tenants {would}removed.")
