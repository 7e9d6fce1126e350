"""What the operator's commands share: verbs, tables, JSON, and errors of one line.

A command lists its verbs; each is a method that does one thing and prints one sentence. Whatever a
person can cause ends with one line on standard error and a status other than 0.
"""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, ClassVar, NoReturn

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import InterfaceError, OperationalError, ProgrammingError

from mail.errors import MailError
from tenants.audit import Actor, operator_at_command_line
from tenants.errors import TenancyError
from tenants.vault import VaultError


class OneLineParser(CommandParser):
    """Says what is wrong with the arguments in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message} (see {self.prog} --help)\n")


class OneLineCommand(BaseCommand):
    """A command whose errors are one line each, whatever a person or the database does."""

    requires_system_checks: ClassVar[list[str]] = []  # type: ignore[misc]

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        # Django names its own class in the middle of a long method.
        parser.__class__ = OneLineParser
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except (TenancyError, MailError, VaultError) as error:
            raise CommandError(str(error)) from None
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"{no_answer(error)}.") from None
        except ProgrammingError as error:
            raise CommandError(
                f"The database is not as this code expects ({first_line(error)}): run "
                "`manage.py prepare`."
            ) from None


class VerbCommand(OneLineCommand):
    """A noun with verbs: `verbs` names them, `do_<verb>` does one."""

    noun = ""

    def handle(self, *args: Any, **options: Any) -> None:
        getattr(self, f"do_{options['verb'].replace('-', '_')}")(options)

    def actor(self, options: dict[str, Any]) -> Actor:
        """Who is written into the audit."""
        return operator_at_command_line(f"{self.noun} {options['verb']}")

    def say(self, sentence: str) -> None:
        self.stdout.write(sentence)

    def say_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, cls=ValueEncoder, indent=2, ensure_ascii=False))

    def say_lines(
        self, options: dict[str, Any], rows: Sequence[Any], columns: Sequence[str], empty: str
    ) -> None:
        """Dataclasses as JSON or as an aligned table of some of their fields."""
        if options["json"]:
            self.say_json(rows)
        elif not rows:
            self.say(empty)
        else:
            for line in table(columns, ([cell(getattr(row, c)) for c in columns] for row in rows)):
                self.say(line)


class ValueEncoder(DjangoJSONEncoder):
    """JSON of our frozen values too."""

    def default(self, o: Any) -> Any:
        return asdict(o) if is_dataclass(o) and not isinstance(o, type) else super().default(o)


def no_answer(error: BaseException) -> str:
    """What happened to a database that could not be asked, with the cure."""
    return (
        f"The database does not answer ({first_line(error)}): start it (`make run`) or "
        "correct DATABASE_URL"
    )


def first_line(error: BaseException) -> str:
    """The first line of a library's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def cell(value: Any) -> str:
    """A value as it stands in a table."""
    if value is None or value == "" or value == ():
        return "-"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if hasattr(value, "isoformat"):
        return f"{value:%Y-%m-%d %H:%M}"
    return str(value)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines with aligned columns; the last column is not padded."""
    lines = [[head.replace("_", " ") for head in heads], *map(list, rows)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(_padded(line, widths)).rstrip() for line in lines]


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [text + " " * (width - _width(text)) for text, width in zip(line, widths, strict=True)]


def _width(text: str) -> int:
    """Columns on a terminal: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def add_verbs(parser: CommandParser) -> Any:
    """Where a command's verbs are added, each with arguments of its own."""
    return parser.add_subparsers(
        dest="verb", required=True, metavar="VERB", parser_class=OneLineParser
    )


def add_json_flag(parser: CommandParser, *, default: Any = False) -> None:
    """`--json`; a verb below another one that takes it too has SUPPRESS as its default."""
    parser.add_argument("--json", action="store_true", default=default, help="for scripts")
