"""What a process remembers never goes from one tenant to another (G6).

Caches are found in the source and listed here, each with the reason why it may be: what depends on a
tenant's rows has the tenant (or a domain, which is one tenant's) in its key, or is not remembered.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection
from django.template import Context, Template
from django.test import Client
from django_tenants.utils import schema_context

from routing.models import Domain, Route
from routing.selectors import domain_snapshot, route_lines
from tenants.models import User

ROOT = Path(__file__).parents[2]
PACKAGES = ("mail", "delivery", "routing", "smtp_edge", "tenants", "ops", "panel", "api", "mxax")
REMEMBERING = {"lru_cache", "cache", "cached_property", "cache_page", "cache_control"}
CONTAINERS = {"dict", "defaultdict", "ordereddict", "set", "list", "deque", "local", "contextvar",
              "weakkeydictionary", "weakvaluedictionary", "weakset"}  # fmt: skip
REMEMBERED = {
    "mail/message.py:_lower": "names of header fields, by themselves",
    "mail/trace.py:_date": "a date as text",
    "mail/trace.py:_neutral": "a HELO name cleaned, by itself",
    "mail/trace.py:_address_literal": "an IP address as text",
    "mail/signing.py:names_tag": "names of header fields, by themselves",
    "mail/authentication/dmarc_record.py:_cached": "a record of the DNS, by its octets",
    "mail/authentication/key_records.py:read_key_record": "a record of the DNS, by its octets",
    "mail/authentication/signature_fields.py:_domain": "a name in a signature, by its octets",
    "mail/authentication/signature_fields.py:_selector": "a name in a signature, by its octets",
    "mail/authentication/spf_record.py:_kept": "a record of the DNS, by its octets",
    "mail/policy/trust_findings.py:_passed": "whether results say a pass, by their own text",
    "mail/policy/trust_lists.py:_network": "a network, by its own text",
    "smtp_edge/clients.py:client_key": "under which name a client is counted, by his address",
    "smtp_edge/dns_lists.py:_warn": "which list was warned of, by its zone",
    "mail/marker.py:_cipher": "a cipher by its key, which the installation has",
    "delivery/tallies.py:_secret": "one secret an installation; the tenant goes into the digest",
    "delivery/markers.py:marker_keys": "keys of the installation; the tenant stands in the mark",
    "delivery/forbidden.py:is_forbidden": "a fact about an IP address",
    "delivery/outbox.py:address_pepper": "one secret an installation",
    "smtp_edge/protocol.py:_wire": "the octets of a reply, by the reply",
    "tenants/claims.py:_suffixes": "the public suffix list",
    "tenants/lasting.py:_root": "one secret an installation, read in the public schema",
    "tenants/vault.py:vault": "keys of the installation; contexts bind what is sealed",
    "tenants/keys.py:_cache": "the service's own signing keys, read in the public schema",
    "delivery/bell.py:_publishers": "connections to the broker, by process",
    "delivery/one_call.py:_prepared": "statements prepared on a connection, without values",
    "delivery/failing_routes.py:_bound": "who guards routes: bound once, when the process starts",
    "delivery/holds.py:_bound": "who knows which routes are on: bound once",
    "delivery/quarantine_digest.py:_bound": "who knows what tenants chose: bound once",
    "routing/services/held_mail.py:_bound": "who keeps mail of paused routes: bound once",
    "tenants/notices.py:_bound": "who sends notices: bound once, when the process starts",
    "ops/admin/paging.py:BoundedPaginator.count": "lives as long as one page's paginator",
    "panel/public/status.py:status": "a page of no tenant, the same for everybody",
    "mxax/env.py:environment": "the settings of the process",
    "mxax/settings/__init__.py:SILENCED_SYSTEM_CHECKS": "a setting of Django's, and empty",
}
# Functions that hand out what is read later, with the reason why that is right.
READ_LATER = {
    "tenants/export.py:_pieces": "one transaction; callers write and do nothing in between",
}
LAZY = re.compile(r"\b(QuerySet|Manager|RawQuerySet|Iterator|Iterable|Generator)\b")
OPENS = {"tenant_schema", "public_schema", "schema_context", "tenant_context"}


def sources() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def named(node: ast.expr) -> str:
    """The last name in `functools.lru_cache(maxsize=1)` and the like."""
    while isinstance(node, ast.Call | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def remembered_in(path: str, tree: ast.Module) -> Iterator[str]:
    for owner, node in with_owner(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if any(named(one) in REMEMBERING for one in node.decorator_list):
                yield f"{path}:{owner}{node.name}"
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if named_by_call(node.value) or (not owner and grows(target, node.value)):
                yield f"{path}:{owner}{ast.unparse(target)}"


def with_owner(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """Statements of the module and of its classes; the class's name with a dot, else nothing."""
    for node in tree.body:
        yield "", node
        if isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.", inner) for inner in node.body)


def named_by_call(value: ast.expr) -> bool:
    """`_date = lru_cache(maxsize=8)(format_datetime)`."""
    return isinstance(value, ast.Call) and named(value) in REMEMBERING


def grows(target: ast.expr, value: ast.expr) -> bool:
    """A container of the module that is empty at first, or something that is called a cache."""
    if isinstance(value, ast.Call):
        made = named(value).lower()
        return "cache" in made or (made in CONTAINERS and not value.args)
    empty = isinstance(value, ast.Dict | ast.List) and not ast.unparse(value).strip("{}[]")
    return empty and ast.unparse(target) != "urlpatterns"


def test_every_cache_of_a_process_is_listed_with_its_reason():
    found = {name for path, tree in sources() for name in remembered_in(path, tree)}

    assert found == set(REMEMBERED)


def test_nobody_uses_djangos_cache_by_himself():
    """Its keys have the schema in them; a look-up in the wrong schema would still be one."""
    users = [
        path
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("django.core.cache")
    ]

    assert users == []


def test_no_template_keeps_a_fragment():
    tags = re.compile(r"{%\s*(cache|load [^%]*\bcache\b)")
    pages = [path for path in ROOT.glob("*/**/*.html") if ".venv" not in path.parts]
    pages += list((ROOT / "templates").rglob("*.txt"))

    assert len(pages) > 20
    assert [path for path in pages if tags.search(path.read_text())] == []


def test_nothing_that_is_read_later_leaves_a_schema():
    """No queryset that a schema was opened for, and no generator that stops while one is open."""
    found = {
        f"{path}:{node.name}"
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and leaves_a_schema(node)
    }

    assert found == set(READ_LATER)


@pytest.mark.parametrize(
    ("text", "leaves"),
    [
        ("def f() -> QuerySet[A]:\n with tenant_schema(1):\n  return A.objects.all()", True),
        ("def f() -> list[A]:\n with tenant_schema(1):\n  return list(A.objects.all())", False),
        ("def f() -> Iterator[A]:\n with tenant_schema(1):\n  yield 1", True),
        ("def f() -> Iterator[A]:\n with tenant_schema(1):\n  a = 1\n yield a", False),
        ("@contextmanager\ndef f() -> Iterator[A]:\n with tenant_schema(1):\n  yield", False),
    ],
)
def test_that_would_be_noticed(text, leaves):
    (function,) = ast.parse(text).body

    assert leaves_a_schema(function) is leaves


def leaves_a_schema(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if any(
        named(one) in ("contextmanager", "asynccontextmanager") for one in function.decorator_list
    ):
        return False
    opened = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.With)
        and any(named(item.context_expr) in OPENS for item in node.items)
    ]
    yields = (ast.Yield, ast.YieldFrom)
    if any(isinstance(node, yields) for node in ast.walk(function)):
        return any(isinstance(node, yields) for block in opened for node in ast.walk(block))
    lazy = function.returns is not None and LAZY.search(ast.unparse(function.returns))
    return bool(opened and lazy)


def schema_of(person) -> str:
    return person.tenant.schema_name


@pytest.fixture
def two(ada, mallory):
    """Ada and Mallory, each with a domain and a route of the same local part."""
    for person in (ada, mallory):
        name = f"{person.tenant.slug}-only.example"
        person.has_domain(name)
        person.has_route(f"hi@{name}", f"{person.tenant.slug}@destination.example")
    return ada, mallory


@pytest.mark.django_db
def test_selectors_hand_out_what_is_read_already(two, django_assert_num_queries):
    ada, mallory = two
    lines = route_lines(ada.tenant, None)
    snapshot = domain_snapshot("ada-only.example")

    with schema_context(schema_of(mallory)), django_assert_num_queries(0):
        assert [line.address for line in lines] == ["hi@ada-only.example"]
        match = snapshot.routes.match("hi")

    assert match.route.destinations == ("ada@destination.example",)


@pytest.mark.django_db
def test_the_content_type_cache_holds_kinds_and_no_rows(two):
    ada, mallory = two
    ContentType.objects.clear_cache()
    with schema_context(schema_of(ada)):
        warm = ContentType.objects.get_for_model(Route)
        assert [one.name for one in rows_of(Domain)] == ["ada-only.example"]

    with schema_context(schema_of(mallory)):
        assert ContentType.objects.get_for_model(Route).pk == warm.pk
        assert [one.name for one in rows_of(Domain)] == ["mallory-only.example"]
        ContentType.objects.clear_cache()
        assert ContentType.objects.get_for_model(Route).pk == warm.pk

    assert ContentType._meta.app_label in {app.split(".")[-1] for app in settings.SHARED_APPS}
    assert tables_named("django_content_type") == ["public"]


def rows_of(model) -> list:
    kind = ContentType.objects.get_for_model(model)
    return list(kind.model_class().objects.all())


@pytest.mark.django_db
def test_a_fragment_of_a_page_would_stay_with_its_tenant(two):
    ada, mallory = two
    page = Template("{% load cache %}{% cache 600 routes %}{{ whose }}{% endcache %}")
    with schema_context(schema_of(ada)):
        first = page.render(Context({"whose": "of ada"}))

    with schema_context(schema_of(mallory)):
        second = page.render(Context({"whose": "of mallory"}))
    with schema_context(schema_of(ada)):
        again = page.render(Context({"whose": "made anew"}))

    assert (first, second, again) == ("of ada", "of mallory", "of ada")


@pytest.mark.django_db
def test_sessions_are_peoples_and_live_in_one_place(two):
    ada, mallory = two
    with schema_context(schema_of(ada)):
        session = SessionStore()
        session["seen"] = "by ada"
        session.save()

    with schema_context(schema_of(mallory)):
        assert SessionStore(session.session_key)["seen"] == "by ada"
        assert Session.objects.count() == 1

    assert tables_named("django_session") == ["public"]


@pytest.mark.django_db
def test_a_session_opens_no_tenant_of_others_and_none_stays_open(two):
    client = Client()
    client.force_login(User.objects.get(email="ada@ada.example"))
    key = client.session.session_key

    for _ in range(2):
        answer = client.get("/t/mallory/")
        assert answer.status_code == 404
        assert connection.schema_name == "public"
        assert client.session.session_key == key

    assert "mallory" not in answer.content.decode().replace("/t/mallory/", "")
    assert not any("mallory" in str(value) for value in client.session.values())


def tables_named(name: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT schemaname FROM pg_tables WHERE tablename = %s", [name])
        return [schema for (schema,) in cursor]
