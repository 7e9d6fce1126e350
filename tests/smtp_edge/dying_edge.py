"""An edge that kills itself with -9 at one chosen point; only tests start it.

The point is the environment's DIE_AT: a name below, and a number of passes to survive.
"""

import os
import signal
import sys

POINTS = ("begin", "inserted", "before commit", "committed", "piece stored")


def main() -> int:
    from smtp_edge import __main__ as entry

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mxax.settings")
    os.environ["MXAX_DATABASE_ROLE"] = "mxax_edge"
    import django

    django.setup()
    from smtp_edge import keeping, store

    point, _, survived = os.environ["DIE_AT"].partition(":")
    passes = [int(survived or 0)]

    def here(name: str) -> None:
        if name == point:
            passes[0] -= 1
            if passes[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    class DyingStore(store.MessageStore):
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

    store_pieces = keeping.store_pieces

    def storing(pieces):
        store_pieces(pieces)
        here("piece stored")

    from smtp_edge import service

    service.MessageStore = DyingStore
    keeping.store_pieces = storing
    return entry._serve()


if __name__ == "__main__":
    sys.exit(main())
