"""One line of the doctor's report."""

from dataclasses import dataclass
from enum import Enum


class Health(Enum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` was looked at, what was seen, and what to do about it."""

    health: Health
    what: str
    seen: str
    cure: str = ""


def ok(what: str, seen: str) -> Finding:
    return Finding(Health.OK, what, seen)


def warning(what: str, seen: str, cure: str) -> Finding:
    return Finding(Health.WARNING, what, seen, cure)


def error(what: str, seen: str, cure: str) -> Finding:
    return Finding(Health.ERROR, what, seen, cure)
