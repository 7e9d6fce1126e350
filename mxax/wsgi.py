"""The web process, for gunicorn: works in the database role that sees one tenant at a time."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mxax.settings")
os.environ["MXAX_DATABASE_ROLE"] = "mxax_web"

from django.core.wsgi import get_wsgi_application
from django.db import DatabaseError, connection

from mxax.env import SettingError

GIVE_UP = 3  # gunicorn starts no other worker after this

application = get_wsgi_application()


def refuse_unfit_database() -> None:
    """End with one line behind a pooler that shares sessions; one that is away is waited for."""
    try:
        connection.ensure_connection()
    except DatabaseError:
        pass
    except SettingError as error:
        print(f"web: {error}", file=sys.stderr)  # noqa: T201 - nobody else says why it ends
        raise SystemExit(GIVE_UP) from None
    finally:
        connection.close()


refuse_unfit_database()
