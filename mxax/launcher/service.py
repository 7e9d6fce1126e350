"""The whole service in the foreground: what `make run` shows and does.

Keys, ports, database, broker, schema, processes, ready; on the first start with the embedded
database and the catcher one real message whose trace is printed; then it stays until asked to end.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from mxax.env import Environment, HostPort, read_environment
from mxax.launcher.children import DEMO_ADDRESS, LISTENERS, manage, service_children
from mxax.launcher.console import Console, Step
from mxax.launcher.errors import StartError, StopAsked
from mxax.launcher.installation import Installation
from mxax.launcher.supervisor import end_with_parent_too
from mxax.local_service import PROJECT
from mxax.setting_values import SettingError

_READY_SECONDS = 90.0


def run_service(environ: Mapping[str, str]) -> None:
    """Run until SIGINT, SIGTERM or SIGHUP. Raises `SettingError` and `StartError`."""
    if "MAKELEVEL" in environ:
        end_with_parent_too()
    console = Console()
    installation = Installation.open(environ, console)
    console.line()
    console.title("mx.ax", f"Ctrl-C ends it, data in {_short(installation.folder.path)}")
    console.line()
    try:
        chosen = _start(installation)
        ready = _start_processes(installation, chosen)
        _show(installation, chosen)
        if ready and chosen.embedded and chosen.catches_mail:
            _demonstrate(installation, chosen)
        while True:
            installation.supervisor.tick(2.0)
    except StopAsked:
        pass
    finally:
        _end(installation)


def _start(installation: Installation) -> Environment:
    console = installation.console
    _require_certificate(installation.chosen)
    with console.step("Keys") as step:
        made = installation.make_keys()
        keys = _short(installation.folder.keys)
        step.note = f"made in {keys}: keep a copy" if made else f"from {keys}"
    with console.step("Ports") as step:
        database, broker = (installation.ports.free_port().port for _ in range(2))
        step.note = _choose_ports(installation) or "free"
    installation.start_guard()
    _start_servers(installation, database, broker)
    chosen = read_environment(installation.child_environment())
    _prepare(installation)
    return chosen


def _require_certificate(chosen: Environment) -> None:
    """Raises `SettingError` for files that no listener could use."""
    if chosen.tls_cert is None or chosen.tls_key is None:
        return
    import ssl  # only for those who have one: it costs memory

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            chosen.tls_cert, chosen.tls_key, password=""
        )
    except OSError as wrong:  # ssl.SSLError is one
        raise SettingError(
            f"MXAX_TLS_CERT={chosen.tls_cert}, MXAX_TLS_KEY={chosen.tls_key}: not a certificate "
            f"and its key, without a passphrase, in PEM ({wrong.strerror or wrong})"
        ) from None


def _choose_ports(installation: Installation) -> str:
    """Claim the port of each listener; gives what moved."""
    moved = []
    for setting, name in LISTENERS:
        wanted: HostPort = getattr(installation.chosen, name)
        explicit = setting in installation.given
        where = installation.ports.choose(wanted, setting=setting, explicit=explicit)
        installation.added[setting] = str(where)
        if where.port != wanted.port != 0:
            moved.append(f"{wanted.port}→{where.port}")
    return f"{', '.join(moved)} (taken)" if moved else ""


def _start_servers(installation: Installation, database: int, broker: int) -> None:
    console, chosen = installation.console, installation.chosen
    with console.step("Database") as step:
        if chosen.database_url:
            step.note = "as DATABASE_URL says"
        else:
            server = installation.start_database(database, step.progress)
            verb = "created" if server.made_now else "opened"
            as_whom = f", as user {server.user.name}" if server.user else ""
            step.note = f"{verb}, PostgreSQL {server.programs.version}{as_whom}"
    with console.step("Broker") as step:
        if chosen.celery_broker_url:
            step.note = "as CELERY_BROKER_URL says"
        else:
            installation.start_broker(broker, step.progress)
            step.note = "embedded Valkey"


def _prepare(installation: Installation) -> None:
    """Roles, migrations and static files, in one process that alone knows the superuser."""
    environment = installation.child_environment()
    admin_url = installation.admin_url or installation.chosen.database_admin_url
    if admin_url:
        environment["MXAX_DATABASE_ADMIN_URL"] = admin_url
    log = installation.folder.log / "prepare.log"
    with installation.console.step("Schema") as step, open(log, "a") as file:
        last = ""

        def line(text: str) -> None:
            nonlocal last
            if text.strip():
                last = " ".join(text.split())
                file.write(text + "\n")
            step.progress(last)

        code = installation.supervisor.run(
            manage("prepare"), line=line, env=environment, folder=PROJECT
        )
        if code:
            said = last.removeprefix("CommandError: ")
            raise StartError(f"the schema could not be prepared: {said} ({_short(log)})")
        step.note = "roles, tables, isolation, keys, static files"


def _start_processes(installation: Installation, chosen: Environment) -> bool:
    _fresh_folder(installation.folder.run / "metrics")
    environment = installation.child_environment()
    environment["PROMETHEUS_MULTIPROC_DIR"] = str(installation.folder.run / "metrics")
    with installation.console.step("Processes") as step:
        specs = service_children(chosen, environment, installation.folder.run)
        for spec in specs:
            installation.supervisor.add(spec)
        names = ", ".join(dict.fromkeys(re.sub(r"-\d+$", "", spec.name) for spec in specs))
        step.note = names
        ready = _wait_until_ready(installation, chosen, step)
    installation.write_state(ready=ready)
    return ready


def _fresh_folder(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)


def _wait_until_ready(installation: Installation, chosen: Environment, step: Step) -> bool:
    deadline = time.monotonic() + _READY_SECONDS
    where = chosen.web_listen.reachable()
    said = ""
    while time.monotonic() < deadline:
        code, said = _ask(where)
        if code == 200:
            return True
        step.progress(f"waiting: {said}")
        installation.supervisor.tick(0.2)
    logs = _short(installation.folder.log)
    step.note, step.late = "not ready yet", True
    installation.console.event(f"not ready after {_READY_SECONDS:.0f} s: {said} (see {logs})")
    return False


def _ask(where: HostPort) -> tuple[int, str]:
    """The status of /readyz and the first line of what it says; 0 when nobody answers."""
    request = f"GET /readyz HTTP/1.0\r\nHost: {where}\r\n\r\n".encode()
    answer = b""
    try:
        with socket.create_connection((where.host, where.port), timeout=5) as connection:
            connection.sendall(request)
            while part := connection.recv(4096):
                answer += part
    except OSError:
        return 0, "web does not answer yet"
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    code = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    return code, _told(body.decode(errors="replace"))


def _told(body: str) -> str:
    """What /readyz says: its `status`, or the first line of anything else."""
    try:
        said = str(json.loads(body)["status"])
    except (ValueError, KeyError, TypeError):
        said = body
    return said.strip().split("\n")[0][:60]


def _show(installation: Installation, chosen: Environment) -> None:
    console, folder = installation.console, installation.folder
    rows = [
        ("Web", f"{chosen.panel_url}/"),
        ("MX", str(chosen.mx_listen)),
        ("Metrics", f"http://{chosen.metrics_listen.reachable()}/metrics"),
        ("Logs", _short(folder.log)),
    ]
    if chosen.catches_mail:
        rows.insert(2, ("Caught mail", f"{_short(folder.mail)} (nothing leaves this machine)"))
    console.line()
    console.box(rows)
    console.line()


def _demonstrate(installation: Installation, chosen: Environment) -> None:
    """The first start's message; a failure is said and does not end the service."""
    console = installation.console
    log = installation.folder.log / "demo.log"
    with open(log, "ab") as file:
        code = installation.supervisor.run(
            manage("demo", "--if-first"),
            line=lambda text: console.line(f"  {text}") if text else None,
            stderr=file,
            env=installation.child_environment(),
            folder=PROJECT,
        )
    if code:
        console.event(f"the demo failed (exit {code}): see {_short(log)}")
    mx = chosen.mx_listen.reachable()
    console.line()
    console.line("  Try it:")
    console.line(f"  swaks --server {mx} --from you@home.example --to {DEMO_ADDRESS}")
    console.line()


def _end(installation: Installation) -> None:
    began = time.monotonic()
    installation.console.event("ending: mail first, the database last (again to hurry)")
    installation.close()
    installation.console.event(f"ended in {time.monotonic() - began:.1f} s")


def _short(path: Path) -> str:
    """The path as seen from the working directory, when it is below."""
    try:
        return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
    except OSError:
        return str(path)
