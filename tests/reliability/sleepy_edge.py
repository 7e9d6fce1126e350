"""An edge that falls asleep at one chosen point before the 250; only tests start it.

The point is the environment's SLEEP_AT; once there it makes the file SLEEP_FILE and sleeps.
"""

import os
import sys
import time
from pathlib import Path

POINTS = ("begin", "inserted", "before commit", "committed", "answering")


def main() -> int:
    from smtp_edge import __main__ as entry

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mxax.settings")
    os.environ["MXAX_DATABASE_ROLE"] = "mxax_edge"
    import django

    django.setup()
    from smtp_edge import inbound, service, store

    def here(name: str) -> None:
        if name == os.environ["SLEEP_AT"]:
            Path(os.environ["SLEEP_FILE"]).touch()
            time.sleep(60)

    class SleepyStore(store.MessageStore):
        def keep(self, messages, before_commit):
            here("begin")

            def asked():
                before_commit()
                here("before commit")

            backend = super().keep(messages, asked)
            here("committed")
            return backend

        def insert(self, messages):
            super().insert(messages)
            here("inserted")

    noting = inbound.Transaction._note_accepted

    def note_accepted(transaction, plan):
        here("answering")
        noting(transaction, plan)

    service.MessageStore = SleepyStore
    inbound.Transaction._note_accepted = note_accepted
    return entry._serve()


if __name__ == "__main__":
    sys.exit(main())
