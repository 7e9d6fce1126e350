"""`manage.py retention`: apply every tenant's log retention now, as beat does every half hour."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from delivery.retention import apply_retention


class Command(BaseCommand):
    help = "Remove from the tenants' logs what their policies no longer keep."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *args: Any, **options: Any) -> None:
        rows = apply_retention(dry_run=options["dry_run"])
        for slug, count in rows.items():
            if count and options["verbosity"] > 1:
                self.stdout.write(f"{slug}: {count:,}")
        would = "would be " if options["dry_run"] else ""
        self.stdout.write(f"{sum(rows.values()):,} rows of {len(rows):,} tenants {would}removed.")
