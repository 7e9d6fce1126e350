"""A Celery app with one task of a tenant, for a worker that only tests start.

`python -m celery -A tests.reliability.tenant_app worker -Q crossings`
"""

import os
import random
import time
from pathlib import Path

import django

from mxax.celery import app

django.setup()

from tenants.context import TenantTask, open_schema  # noqa: E402

QUEUE = "crossings"


@app.task(base=TenantTask, name="tests.look_around")
def look_around(*, tenant_id: int, expected: str, number: int) -> None:
    """Write down where the task finds itself, before and after others had time to interfere."""
    from django.db import connection

    from routing.models import Domain

    def seen() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('mxax.tenant_id'), current_schema()")
            setting, schema = cursor.fetchone()
        names = ",".join(Domain.objects.order_by("name").values_list("name", flat=True))
        return f"{setting} {schema} {open_schema()} {names}"

    before = seen()
    time.sleep(random.uniform(0, 0.02))
    if number % 7 == 0:
        connection.close()  # a new connection must be in the same schema
    line = f"{number} {expected} {before} | {seen()}\n"
    with Path(os.environ["SEEN_FILE"]).open("a") as file:
        file.write(line)
    if number % 11 == 0:
        raise RuntimeError("a task that fails leaves no schema behind")
