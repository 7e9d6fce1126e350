"""The same readers under Atheris, which looks for inputs that reach code no other did.

It is no requirement of ours (Apache 2.0, from PyPI; a venv of its own will do):

    pip install atheris
    python -m tests.fuzzing.guided FOLDER -max_total_time=600 -max_len=30000

FOLDER is filled with our messages first, and keeps what was found to be of use.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import atheris

_BETWEEN, _BEHIND = b"\xfe\xfe", b"\0\0\0\0"


def main(words: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mxax.settings")
    os.environ.setdefault("DATABASE_URL", "postgresql://nobody:nothing@127.0.0.1:1/nothing")
    os.environ.setdefault("CELERY_BROKER_URL", "redis://127.0.0.1:1/0")
    with atheris.instrument_imports(include=["mail", "smtp_edge"]):
        import django

        django.setup()
        from tests.fuzzing import messages, parsers
    logging.disable(logging.CRITICAL)
    folder = Path(words[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, octets in enumerate(messages.MESSAGES):
        texts = _BETWEEN.join(parsers.RECORDS)
        (folder / f"message-{number}").write_bytes(octets + _BEHIND + texts)

    def check(octets: bytes) -> None:
        """A message, four zero octets, and the texts in the DNS."""
        message, _, texts = octets.rpartition(_BEHIND)
        parsers.check(parsers.Input(message, texts.split(_BETWEEN)))

    atheris.Setup(words, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
