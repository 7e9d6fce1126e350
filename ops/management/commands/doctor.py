"""`manage.py doctor`: the state of the whole installation, each line with its cure."""

from collections.abc import Callable, Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import Error as DatabaseError

from ops.console import OneLineCommand, ValueEncoder, add_json_flag, first_line, table
from ops.doctor import machine, network
from ops.doctor.database import database_findings
from ops.doctor.finding import Finding, Health, error

Check = Callable[[], Finding | Iterator[Finding]]
WITHOUT_DATABASE: tuple[Check, ...] = (
    network.check_broker,
    network.check_edge,
    network.check_resolver,
    network.check_smarthost,
    machine.check_certificate,
    machine.check_disk,
)
WITH_DATABASE: tuple[Check, ...] = (
    machine.check_workers,
    machine.check_retention,
    machine.check_clock,
    machine.check_names,
)
STYLES = {Health.OK: "SUCCESS", Health.WARNING: "WARNING", Health.ERROR: "ERROR"}


class Command(OneLineCommand):
    help = "Checks the whole installation; ends with a status other than 0 where there is an error."

    def add_arguments(self, parser: CommandParser) -> None:
        add_json_flag(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        findings = list(examine())
        if options["json"]:
            self._say_json(findings)
        else:
            self._say_lines(findings)
        errors = sum(finding.health is Health.ERROR for finding in findings)
        if errors:
            raise CommandError(f"{errors} of {len(findings)} lines are errors: see their cures.")

    def _say_json(self, findings: list[Finding]) -> None:
        rows = [
            {"health": f.health.value, "what": f.what, "seen": f.seen, "cure": f.cure}
            for f in findings
        ]
        self.stdout.write(ValueEncoder(indent=2, ensure_ascii=False).encode(rows))

    def _say_lines(self, findings: list[Finding]) -> None:
        rows = [
            (f.health.value, f.what, f.seen + (f"; {f.cure}." if f.cure else "")) for f in findings
        ]
        lines = table(("state", "what", "seen"), rows)[1:]
        for finding, line in zip(findings, lines, strict=True):
            self.stdout.write(getattr(self.style, STYLES[finding.health])(line))


def examine() -> Iterator[Finding]:
    """Every finding; what needs the database is left out when it does not answer."""
    try:
        yield from database_findings()
        with_database = WITH_DATABASE
    except DatabaseError as fault:
        cure = "start it (`make run`) or correct DATABASE_URL"
        yield error("database", f"does not answer ({first_line(fault)})", cure)
        with_database = ()
    for check in (*with_database, *WITHOUT_DATABASE):
        found = check()
        yield from [found] if isinstance(found, Finding) else found
