"""Tenants in the web process: alternating on persistent connections, none sees another's canary.

Twenty threads, each with a connection that stays, ask the tenants' support pages for real, fail in
the middle, and read streamed responses after the door has closed behind them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import connection
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from ops.middleware import support_door
from routing.models import Domain
from tests.ops.conftest import Staff, queued, sam

__all__ = ["sam"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

THREADS, ROUNDS = 20, 15
SLUGS = ("ada", "mallory")
PAGES = ("routing/domain/", "delivery/delivery/", "routing/route/")


@pytest.fixture
def in_the_role_of_the_web(transactional_db):
    """Every connection from now on is one of a web process."""
    options = connection.settings_dict["OPTIONS"]
    before = dict(options)
    role = (
        {"assume_role": "mxax_web"} if "assume_role" in options else {"options": "-c role=mxax_web"}
    )
    yield lambda: (options.update(role), connection.close())
    options.clear()
    options.update(before)
    connection.close()


@pytest.fixture
def tenants(ada, mallory, sam):
    for person in (ada, mallory):
        slug = person.tenant.slug
        person.has_domain(f"canary-{slug}.example")
        person.has_route(f"hi@canary-{slug}.example", f"canary-{slug}@far.example")
        queued(person.tenant, f"hi@canary-{slug}.example")
        sam.signs_in().opens(person.tenant)
    return {person.tenant.slug: person.tenant for person in (ada, mallory)}


def canaries(text: str) -> set[str]:
    return {slug for slug in SLUGS if f"canary-{slug}" in text}


def asks_page(browser: Client, slug: str, step: int) -> set[str]:
    response = browser.get(f"/admin/t/{slug}/{PAGES[step % len(PAGES)]}")
    assert response.status_code == 200
    return canaries(response.content.decode())


def behind_the_door(sam: Staff, slug: str, view: Callable) -> HttpResponse:
    request = RequestFactory().get(f"/admin/t/{slug}/x/")
    request.user = sam.user
    request.user.is_verified = lambda: True
    return support_door(view)(request)


def fails(sam: Staff, slug: str) -> set[str]:
    seen: list[str] = []

    def view(request):
        seen.extend(Domain.objects.values_list("name", flat=True))
        with connection.cursor() as cursor:
            cursor.execute("BEGIN; SELECT 1 / 0")

    with pytest.raises(Exception, match="division by zero"):
        behind_the_door(sam, slug, view)
    return canaries(" ".join(seen))


def streams(sam: Staff, browser: Client, slug: str) -> set[str]:
    """Read after the door closed, with a request for the other tenant between its pieces."""
    other = SLUGS[slug == SLUGS[0]]

    def view(request):
        return StreamingHttpResponse(
            " ".join(Domain.objects.values_list("name", flat=True)) for _ in range(3)
        )

    found: set[str] = set()
    for piece in behind_the_door(sam, slug, view).streaming_content:
        found |= canaries(bytes(piece).decode() if not isinstance(piece, str) else piece)
        assert asks_page(browser, other, 0) == {other}
    return found


def test_twenty_threads_of_requests_never_show_another_tenants_canary(
    sam, tenants, in_the_role_of_the_web
):
    cookies = sam.browser.cookies
    wrong: list[str] = []
    servers: set[int] = set()
    in_the_role_of_the_web()

    def work(seed: int) -> None:
        browser = Client()
        browser.cookies = cookies
        try:
            for step in range(ROUNDS):
                slug = SLUGS[(seed + step) % 2]
                kind = (seed + step) % 5
                if kind == 3:
                    seen = fails(sam, slug)
                elif kind == 4:
                    seen = streams(sam, browser, slug)
                else:
                    seen = asks_page(browser, slug, step)
                if seen != {slug}:
                    wrong.append(f"{slug} in round {step} of {seed}, kind {kind}: {seen}")
                if visible_outside():
                    wrong.append(f"rows seen outside after round {step} of {seed}")
            servers.add(connection.connection.info.backend_pid)
        except BaseException as error:
            wrong.append(f"{seed}: {error!r}")
            raise
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    assert wrong == []
    assert len(servers) == THREADS


def visible_outside() -> int:
    """Rows of any tenant's queue that this connection sees between requests."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM delivery_delivery")
        return cursor.fetchone()[0]
