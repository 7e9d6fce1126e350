"""What every test of a page leaves behind is taken away."""

import contextlib

import psycopg
import pytest
from django.db import connection


@pytest.fixture(autouse=True)
def no_heavy_work_left():
    """A download that a test asked for and did not read holds its locks, as it should.

    A server closes every answer; the test client closes those that are read to their end.
    """
    yield
    session = connection.connection
    if session is not None and not session.closed:
        with contextlib.suppress(psycopg.Error):  # a broken transaction is rolled back anyway
            session.execute("SELECT pg_advisory_unlock_all()")
            session.execute("RESET idle_session_timeout")
            session.execute("RESET idle_in_transaction_session_timeout")
