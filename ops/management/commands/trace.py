"""`manage.py trace`: the whole story of a message, refusals included."""

import json
from typing import Any

from django.core.management.base import CommandError, CommandParser

from delivery.selectors import stories_for, story_of
from delivery.story import Stories, Story
from mail.errors import BadTraceId
from mail.trace import parse_trace_id, printable
from ops.console import OneLineCommand
from ops.trace_text import Pen, more_refusals_line, story_json, story_lines


class Command(OneLineCommand):
    help = "Tell the story of a message: received, judged, accepted, signed, each attempt."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("trace_id", nargs="?", help="as in our Received field, or in a log line")
        what.add_argument("--recipient", metavar="ADDRESS", help="an envelope recipient")
        parser.add_argument("--json", action="store_true", help="the events, in order")
        parser.add_argument("--limit", type=int, default=20, help="stories with --recipient (20)")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["recipient"]:
            self._tell_recipient(options["recipient"], options["limit"], options["json"])
        else:
            self._tell_one(options["trace_id"], options["json"])

    def _tell_one(self, text: str, as_json: bool) -> None:
        shown = printable(text, 40)
        try:
            story = story_of(parse_trace_id(text))
        except BadTraceId:
            raise CommandError(
                f"{shown} is not a trace id: one has 26 letters and digits."
            ) from None
        if story is None:
            raise CommandError(
                f"Nothing is known of {shown}: not seen here, or past its retention."
            )
        if as_json:
            self._write_json(story_json(story))
        else:
            self._write(story_lines(story, self._pen()))

    def _tell_recipient(self, recipient: str, limit: int, as_json: bool) -> None:
        found = stories_for(recipient, limit=max(1, limit))
        if not found.stories and not found.more_refusals:
            raise CommandError(f"Nothing is known of mail to {printable(recipient, 320)}.")
        if as_json:
            oldest_first = reversed(found.stories)
            self._write_json([event for story in oldest_first for event in story_json(story)])
        else:
            self._write_stories(found)

    def _write_stories(self, found: Stories) -> None:
        pen = self._pen()
        for story in reversed(found.stories):
            self._write(_spaced(story, pen))
        self._write([more_refusals_line(more, pen) for more in found.more_refusals])

    def _pen(self) -> Pen:
        return Pen(colour=self.style.SUCCESS("x") != "x")

    def _write(self, lines: list[str]) -> None:
        for line in lines:
            self.stdout.write(line)

    def _write_json(self, events: list[dict[str, Any]]) -> None:
        self.stdout.write(json.dumps(events, indent=2))


def _spaced(story: Story, pen: Pen) -> list[str]:
    return [*story_lines(story, pen), ""]
