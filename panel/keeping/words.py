"""The levels and kinds in plain words."""

from typing import Final

from delivery.retention import ATTEMPTS, AUDIT, CONTENT, MESSAGES, REFUSED
from delivery.retention_counts import Figure
from mail.facts import LogLevel
from routing.models import LogPolicy

LEVELS: Final = {
    LogLevel.NOTHING: (
        "Nothing",
        "No trace of any message, not even a number. Nobody can find out later what happened.",
    ),
    LogLevel.COUNTS: (
        "Counts only",
        "How many messages came, were delivered, refused or failed each day; no message by itself.",
    ),
    LogLevel.HASHED: (
        "Messages, addresses hashed",
        "Each message with its result, but addresses, the client's IP address too, as "
        "fingerprints: who knows an address finds its mail, nobody can read it from the log.",
    ),
    LogLevel.METADATA: (
        "Messages",
        "Each message with its addresses, result, sizes, client and replies.",
    ),
    LogLevel.HEADERS: ("Messages with subjects", "The same, and the subject."),
    LogLevel.CONTENT: (
        "Messages with subjects, and content of failed mail",
        "The same, and mail that could not be delivered can be downloaded by administrators.",
    ),
}
KINDS: Final = {
    MESSAGES: "Accepted and delivered mail",
    REFUSED: "Refused mail",
    ATTEMPTS: "Attempts to deliver",
    CONTENT: "Content of failed mail",
    AUDIT: "Audit",
}
FIELDS: Final = {
    MESSAGES: "message_days",
    REFUSED: "refused_days",
    ATTEMPTS: "attempt_days",
    CONTENT: "content_days",
    AUDIT: "audit_days",
}


def level_name(level: int) -> str:
    return LEVELS[LogLevel(level)][0]


def days_text(policy: LogPolicy, kind: str) -> str:
    """For how long a kind is kept by this policy, in words."""
    level, days = LogLevel(policy.level), int(getattr(policy, FIELDS[kind]))
    if kind != AUDIT and level <= LogLevel.COUNTS:
        return "never written"
    if kind == CONTENT and level < LogLevel.CONTENT:
        return "never kept"
    if not days:
        return "never written"
    return "1 day" if days == 1 else f"{days} days"


def figure_text(figure: Figure) -> str:
    """A number as honest as it is: "1 234", "about 410 000"."""
    number = f"{figure.number:,}".replace(",", "\u202f")
    return f"{figure.how} {number}".strip()
