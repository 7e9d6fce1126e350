"""The real edge with small limits that hold for loopback too; only tests start it."""

import os
import sys
from dataclasses import replace


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mxax.settings")
    os.environ["MXAX_DATABASE_ROLE"] = "mxax_edge"
    import django

    django.setup()
    from smtp_edge import __main__ as entry
    from smtp_edge import hygiene, service

    usual, doorkeeper = service.limits_of, hygiene.doorkeeper
    service.limits_of = lambda env: replace(usual(env), connections_per_minute=5)

    def strict(*arguments, **named):
        made = doorkeeper(*arguments, **named)
        made._unlimited = frozenset()
        return made

    hygiene.doorkeeper = strict
    return entry._serve()


if __name__ == "__main__":
    sys.exit(main())
