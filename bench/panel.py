"""How long the panel's pages take in a tenant of 200 domains, 5,000 routes and a million messages.

    .venv/bin/python bench/panel.py [--messages 1000000] [--rounds 30] [--pages NAME,NAME]

Starts a PostgreSQL of its own, seeds, and asks every page of the tenant by GET as the database role
of the web process. What is timed is Django from request to response: middleware, queries, template.
A page that takes longer than 60 ms at the 95th percentile, asks more than 12 queries or is larger
than 60 kB is marked, and the command ends with 1.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

MOST_MS, MOST_QUERIES, MOST_OCTETS = 60.0, 12, 60_000
DOMAINS, ROUTES = 200, 5000
HEAVY = {"tenant:audit-chain": 14}  # what its place and its count cost (panel/heavy.py)
NOT_PAGES = ("panel:readyz", "panel:start", "panel:trace")  # they ask the rest of the service

SEED = """
SET search_path = {schema}, public;
SET synchronous_commit = off;
INSERT INTO routing_domain (name, note, created_at)
SELECT 'd' || n || '.example', '', now() FROM generate_series(1, {domains}) n;
INSERT INTO public.tenants_claimeddomain
    (name, tenant_id, state, proof, token, claimed_at, verified_at, last_result, told)
SELECT name, {tenant}, 'verified', 'operator', 'x' || id, now(), now(), '', ''
FROM routing_domain WHERE name ~ '^d[0-9]+';
INSERT INTO routing_destination (address, confirmed_at, confirmed_by, created_at)
SELECT 'person' || n || '@far.example', now(), 'owner', now() FROM generate_series(1, 2000) n;
INSERT INTO routing_route (domain_id, pattern, pattern_key, mode, note, created_at, changed_at)
SELECT d.id, 'name' || n, 'name' || n, 'on', '', now(), now()
FROM generate_series(1, {routes} / {domains}) n, routing_domain d WHERE d.name ~ '^d[0-9]+';
INSERT INTO routing_routedestination (route_id, destination_id)
SELECT r.id, (SELECT min(id) FROM routing_destination WHERE address ~ '^person') + r.id % 2000
FROM routing_route r WHERE pattern ~ '^name';
INSERT INTO messagelog_routeday (route_id, day, accepted, delivered, failed, refused, last_at)
SELECT r.id, current_date - n, 10, 9, 1, 0, now() - n * interval '1 day'
FROM routing_route r, generate_series(0, 29) n WHERE r.pattern ~ '^name'
ON CONFLICT DO NOTHING;
CREATE TEMP TABLE made AS
SELECT n, now() - n * interval '2.5 seconds' AS at,
    (lpad(to_hex((extract(epoch FROM now() - n * interval '2.5 seconds') * 1000)::bigint), 12, '0')
     || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid AS trace_id,
    'name' || n % 25 + 1 || '@d' || n % {domains} + 1 || '.example' AS recipient,
    'writer' || n % 5000 || '@author' || n % 300 || '.example' AS author
FROM generate_series(1, {messages}) n;
INSERT INTO messagelog_loggedmessage (trace_id, at, direction, state, reverse_path, recipient,
    author, subject, client_ip, size_octets, reason, changed_at, names)
SELECT trace_id, at, 'forward', CASE WHEN n % 50 = 0 THEN 'refused' WHEN n % 97 = 0 THEN 'failed'
    ELSE 'delivered' END, author, recipient, author, '', '192.0.2.7', 4000,
    CASE WHEN n % 50 = 0 THEN 'unknown_address' ELSE '' END, at,
    ARRAY['to:' || recipient, 'to:@' || split_part(recipient, '@', 2), 'from:' || author,
          'from:@' || split_part(author, '@', 2)]
FROM made;
INSERT INTO messagelog_loggedname (name, trace_id)
SELECT unnest(names), trace_id FROM messagelog_loggedmessage
WHERE client_ip = '192.0.2.7' AND size_octets = 4000 ON CONFLICT DO NOTHING;
INSERT INTO messagelog_loggedevent (id, trace_id, kind, at, recipient, data)
SELECT 1000000 + n * 2 + k, trace_id, CASE k WHEN 0 THEN 'accepted' ELSE 'attempted' END, at,
    recipient, jsonb_build_object('outcome', 'delivered', 'reply', '250 2.0.0 Ok')
FROM made, generate_series(0, 1) k WHERE n <= 500000;
ANALYZE;
"""


def main() -> int:
    asked = _arguments()
    if asked.part:
        return {"seed": seed, "measure": measure}[asked.part](asked)
    from mxax.launcher.services import services

    with tempfile.TemporaryDirectory(prefix="mxax-pages-") as folder:
        os.environ["MXAX_DATA_DIR"] = folder
        with services(Path(folder)) as urls:
            environment = {**os.environ, **urls}
            _run(environment, "manage.py", "prepare")
            _run(environment, "bench/panel.py", "--part", "seed", "--messages", asked.messages)
            more = ("--rounds", asked.rounds, "--pages", asked.pages)
            web = {**environment, "MXAX_DATABASE_ROLE": "mxax_web"}
            return _run(web, "bench/panel.py", "--part", "measure", *more, check=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--pages", default="", help="names of pages, with commas; all otherwise")
    parser.add_argument("--part", choices=("seed", "measure"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _run(environment: dict[str, str], *words: object, check: bool = True) -> int:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=PROJECT, env=environment, check=check).returncode


def seed(asked: argparse.Namespace) -> int:
    """The tenant of the tests with one of everything, and then a great deal more."""
    _django()
    from django.db import connection

    from tenants.models import Tenant
    from tests.panel.estate import fill

    began = time.monotonic()
    _paths_file().write_text(json.dumps(fill("bench")))
    tenant = Tenant.objects.get(slug="bench")
    with connection.cursor() as cursor:
        cursor.execute(
            SEED.format(
                schema=tenant.schema_name,
                tenant=tenant.pk,
                domains=DOMAINS,
                routes=ROUTES,
                messages=asked.messages,
            )
        )
    print(f"seeded {asked.messages} messages in {time.monotonic() - began:.0f} s", flush=True)
    return 0


def measure(asked: argparse.Namespace) -> int:
    """Ask every page; 1 where one is over a bound."""
    _django()
    from django.conf import settings

    logging.disable(logging.WARNING)
    settings.ALLOWED_HOSTS.append("testserver")
    client, paths = _signed_in()
    wanted = [name for name in asked.pages.split(",") if name]
    print(f"{'page':34} {'p50 ms':>8} {'p95 ms':>8} {'queries':>8} {'kB':>7}")
    worst = 0
    for name, path in sorted(paths.items()):
        if (wanted and name not in wanted) or name in NOT_PAGES:
            continue
        line = _measured(client, path, asked.rounds)
        if line is not None:
            worst |= _print(name, *line)
    return worst


def _signed_in() -> tuple[Any, dict[str, str]]:
    from tenants.models import Tenant
    from tenants.services.signins import keep_session
    from tests.cast import Person

    owner = Person("bench@bench.example", Tenant.objects.get(slug="bench"))
    client = owner.client()
    client.raise_request_exception = False
    keep_session(
        user=owner.user,
        session_key=client.session.session_key,
        client_ip="127.0.0.1",
        user_agent="the benchmark",
    )
    return client, json.loads(_paths_file().read_text())


def _paths_file() -> Path:
    return Path(os.environ["MXAX_DATA_DIR"]) / "paths.json"


def _measured(
    client: Any, path: str, rounds: int
) -> tuple[float, float, int, int, list[str]] | None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as asked:
        answer = client.get(path)
    queries = list(asked)  # the log is emptied when the next request begins
    if answer.status_code >= 500:
        raise SystemExit(f"{path}: {answer.status_code}")
    if answer.status_code != 200 or not answer["Content-Type"].startswith("text/html"):
        return None
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        client.get(path)
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    p95 = times[-(-len(times) * 95 // 100) - 1]
    slow = [one["sql"][:300] for one in queries if float(one["time"]) > 0.02]
    return times[len(times) // 2], p95, len(queries), len(answer.content), slow


def _print(name: str, p50: float, p95: float, queries: int, octets: int, slow: list[str]) -> int:
    most_queries = MOST_QUERIES + HEAVY.get(name, 0)
    over = p95 > MOST_MS or queries > most_queries or octets > MOST_OCTETS
    mark = "  <-- over" if over else ""
    print(f"{name:34} {p50:8.1f} {p95:8.1f} {queries:8} {octets / 1000:7.1f}{mark}", flush=True)
    for statement in slow:
        print(f"    slow: {statement}")
    return int(over)


def _django() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mxax.settings")
    import django

    django.setup()


if __name__ == "__main__":
    sys.exit(main())
