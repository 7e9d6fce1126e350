"""Process logs: one line per event on standard error, JSON or for people.

They hold trace id, tenant id, reply and reason, never an envelope address or a subject.
"""

import json
import logging
import sys

import structlog

from mxax.env import Environment


def configure_logs(env: Environment) -> None:
    """Route structlog and the standard library's loggers to one writer on standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        if env.log_format == "console"
        else _json_line
    )
    level = logging.getLevelNamesMapping()[env.log_level]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.__stderr__),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                last,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("mail.log", "django.db.backends", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("django.request").addFilter(_is_no_probe)


def _is_no_probe(record: logging.LogRecord) -> bool:
    """503 is what /readyz is for; whoever asked was told why."""
    return getattr(getattr(record, "request", None), "path", "") != "/readyz"


# Made once: `json.dumps` with a default makes an encoder for every line.
_encode = json.JSONEncoder(default=repr).encode


def _json_line(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
    return _encode(event)
