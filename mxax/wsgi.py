"""The web process, for gunicorn: works in the database role that sees one tenant at a time."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mxax.settings")
os.environ["MXAX_DATABASE_ROLE"] = "mxax_web"

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
