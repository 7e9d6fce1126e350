"""The real edge, with deadlines that a test can wait for; only tests start it."""

import os
import sys
from dataclasses import replace


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mxax.settings")
    os.environ["MXAX_DATABASE_ROLE"] = "mxax_edge"
    import django

    django.setup()
    from smtp_edge import __main__ as entry
    from smtp_edge import service

    usual = service.limits_of
    service.limits_of = lambda env: replace(usual(env), keep_seconds=2.0, lookup_seconds=2.0)
    return entry._serve()


if __name__ == "__main__":
    sys.exit(main())
