"""Settings are declared once, typed, loud when wrong, and documented."""

from __future__ import annotations

import base64
import fcntl
import ipaddress
import json
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mxax.env import (
    HostPort,
    SettingError,
    declared_settings,
    ensure_secrets,
    local_environment,
    read_environment,
)
from mxax.local_service import with_local

ROOT = Path(__file__).resolve().parent.parent
KEY = base64.b64encode(bytes(32)).decode()
NAMES = tuple(setting.name for setting in declared_settings())


def test_nothing_set_gives_the_documented_defaults() -> None:
    chosen = read_environment({})

    assert chosen.service_domain == "mxax.test"
    assert chosen.forward_domain == "fwd.mxax.test"
    assert chosen.mx_listen == HostPort("127.0.0.1", 2525)
    assert chosen.panel_url == "http://127.0.0.1:8000"
    assert chosen.smarthost == HostPort("127.0.0.1", 2528)
    assert chosen.catches_mail
    assert chosen.next_hop_port == 25
    assert chosen.forward_cap_per_day == 5000
    assert chosen.database_url == chosen.celery_broker_url == ""
    assert chosen.database_roles
    assert not chosen.debug
    assert not chosen.embedded


def test_defaults_follow_what_is_set() -> None:
    chosen = read_environment(
        {
            "MXAX_SERVICE_DOMAIN": "Mail.MX.ax",
            "MXAX_WEB_LISTEN": "0.0.0.0:80",
            "MXAX_CATCHER_LISTEN": "[::1]:25",
        }
    )

    assert chosen.service_domain == "mail.mx.ax"
    assert chosen.forward_domain == "fwd.mail.mx.ax"
    assert chosen.panel_url == "http://127.0.0.1:80"
    assert str(chosen.smarthost) == "[::1]:25"


def test_values_are_typed() -> None:
    chosen = read_environment(
        {
            "MXAX_DNS_SERVERS": "127.0.0.1:5353, ::1",
            "MXAX_TRUSTED_PROXIES": "10.0.0.0/8,::1",
            "MXAX_SMARTHOST": "direct",
            "MXAX_ALLOW_PRIVATE_NEXT_HOPS": "on",
            "MXAX_DATA_KEY": KEY,
            "MXAX_SRS_SECRETS": "newest-secret-of-two,older--secret-of-two",
            "MXAX_LOG_LEVEL": "debug",
            "MXAX_DEBUG": "",
        }
    )

    assert chosen.dns_servers == (HostPort("127.0.0.1", 5353), HostPort("::1", 53))
    assert chosen.trusted_proxies[0] == ipaddress.ip_network("10.0.0.0/8")
    assert chosen.smarthost is None
    assert not chosen.catches_mail
    assert chosen.allow_private_next_hops
    assert chosen.data_keys == (bytes(32),)
    assert chosen.srs_secrets == (b"newest-secret-of-two", b"older--secret-of-two")
    assert chosen.log_level == "DEBUG"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("MXAX_WEB_LISTEN", "8000", "needs an IP address and a port"),
        ("MXAX_WEB_LISTEN", "localhost:8000", "needs an IP address"),
        ("MXAX_MX_LISTEN", "127.0.0.1:99999", "needs a port from 0 to 65535"),
        ("MXAX_MX_LISTEN", "::1:25", "or [::1]:2525"),
        ("MXAX_SMARTHOST", "relay.example.org", "needs host:port"),
        ("MXAX_SMARTHOST", "relay.example.org:0", "needs a port from 1"),
        ("MXAX_SERVICE_DOMAIN", "localhost", "needs a domain with a dot"),
        ("MXAX_SERVICE_DOMAIN", "-x.example.org", "needs a domain"),
        ("MXAX_FORWARD_DOMAIN", "mxax.test", "must differ"),
        ("MXAX_OPERATOR_EMAIL", "postmaster", "needs an address"),
        ("MXAX_PANEL_URL", "panel.example.org", "needs a URL"),
        ("MXAX_DEBUG", "maybe", "needs on or off"),
        ("MXAX_WORKER_PROCESSES", "0", "needs a whole number above 0"),
        ("MXAX_WORKER_PROCESSES", "²", "needs a whole number above 0"),
        ("MXAX_DNS_SERVERS", "dns.example.org", "needs IP addresses"),
        ("MXAX_TRUSTED_PROXIES", "10.0.0.1/8", "needs addresses or networks"),
        ("MXAX_TLS_CERT", "/nowhere/cert.pem", "is not a file"),
        ("MXAX_LOG_LEVEL", "LOUD", "needs one of DEBUG, INFO"),
        ("DATABASE_URL", "mysql://u:hidden@h/d", "needs postgresql://"),
        ("CELERY_BROKER_URL", "sqs://hidden", "needs redis://"),
        ("MXAX_DATA_KEY", "hidden", "needs 32 random octets"),
        ("MXAX_SRS_SECRETS", "hidden", "16 characters"),
        ("MXAX_DATA_KEY_FILE", "/nowhere/key", "cannot be read"),
        ("MXAX_SMARTHOTS", "x", "did you mean MXAX_SMARTHOST"),
        ("MXAX_FOO", "x", "unset it"),
    ],
)
def test_wrong_values_end_with_one_line(name: str, text: str, told: str) -> None:
    with pytest.raises(SettingError) as raised:
        read_environment({name: text})

    line = str(raised.value)
    assert line.startswith(name)
    assert told in line
    assert "\n" not in line
    assert "hidden" not in line


def test_secrets_come_from_files_too(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY + "\n")

    assert read_environment({"MXAX_DATA_KEY_FILE": str(path)}).data_keys == (bytes(32),)
    with pytest.raises(SettingError, match="both set"):
        read_environment({"MXAX_DATA_KEY_FILE": str(path), "MXAX_DATA_KEY": KEY})


def test_secrets_never_show() -> None:
    chosen = read_environment(
        {
            "DATABASE_URL": "postgresql://u:hidden@h/d",
            "CELERY_BROKER_URL": "redis://:hidden@h/0",
            "MXAX_SECRET_KEY": "hidden" * 10,
            "MXAX_SRS_SECRETS": "hidden" * 10,
        }
    )

    assert "hidden" not in repr(chosen)


def test_certificate_without_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    path.touch()

    with pytest.raises(SettingError, match="belong together"):
        read_environment({"MXAX_TLS_CERT": str(path)})


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    made = ensure_secrets(tmp_path)
    before = {path.name: path.read_text() for path in (tmp_path / "keys").iterdir()}

    again = ensure_secrets(tmp_path)

    assert set(made) == set(before) == {"data.key", "srs.secrets", "secret.key"}
    assert again == ()
    assert len(base64.b64decode(before["data.key"])) == 32
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    for path in (tmp_path / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text() == before[path.name]


def test_secrets_made_by_many_at_once_are_one(tmp_path: Path) -> None:
    seen = []

    def one() -> None:
        ensure_secrets(tmp_path)
        seen.append((tmp_path / "keys" / "data.key").read_text())

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == 8
    assert len(set(seen)) == 1
    assert not list((tmp_path / "keys").glob(".*"))


def test_given_secrets_need_no_folder(tmp_path: Path) -> None:
    given = frozenset({"MXAX_DATA_KEY", "MXAX_SRS_SECRETS", "MXAX_SECRET_KEY"})

    assert ensure_secrets(tmp_path / "none", given=given) == ()
    assert not (tmp_path / "none").exists()


def test_missing_data_key_beside_a_database_is_never_made_anew(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("18\n")

    with pytest.raises(SettingError, match=r"data\.key is missing"):
        ensure_secrets(tmp_path)

    assert not (tmp_path / "keys" / "data.key").exists()


def running(data: Path, environment: dict[str, str]) -> int:
    """What a launcher leaves in its folder while it runs."""
    (data / "run").mkdir(exist_ok=True)
    (data / "run" / "state.json").write_text(json.dumps({"environment": environment}))
    descriptor = os.open(data / "run" / "lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def test_data_folder_that_cannot_be_made_ends_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "data"
    command = [sys.executable, "manage.py", "queue", "status"]

    done = subprocess.run(
        command,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "MXAX_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"manage.py: {folder}")
    assert line.endswith("set MXAX_DATA_DIR to a folder that can be written")


def test_commands_find_the_running_service_and_the_keys(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    url = "postgresql://u:p@127.0.0.1:1/mxax"
    held = running(tmp_path, {"DATABASE_URL": url, "MXAX_EMBEDDED": "1"})

    chosen = read_environment(with_local({}, tmp_path, NAMES))
    os.close(held)

    assert chosen.database_url == url
    assert chosen.embedded
    assert [len(key) for key in chosen.data_keys] == [32]
    assert "DATABASE_URL" not in local_environment(tmp_path)  # it ended


def test_what_is_given_wins_over_what_runs(tmp_path: Path) -> None:
    held = running(tmp_path, {"DATABASE_URL": "postgresql://a@h/a", "MXAX_EMBEDDED": "1"})
    given = {"DATABASE_URL": "postgresql://b@h/b"}

    chosen = read_environment(with_local(given, tmp_path, NAMES))
    os.close(held)

    assert chosen.database_url == "postgresql://b@h/b"
    assert not chosen.embedded


def test_who_has_asked_a_database_that_vanishes_finds_out_soon() -> None:
    """An answer that never comes is waited for until the probes begin: for two hours, as it is."""
    from django.conf import settings

    from mxax.settings.databases import databases

    options = databases(settings.ENV, role="mxax_edge")["default"]["OPTIONS"]

    assert int(options["keepalives_idle"]) <= 10
    assert int(options["tcp_user_timeout"]) <= 20_000


def documented_rows() -> list[tuple[str, str, str]]:
    text = (ROOT / "docs" / "settings.md").read_text()
    found = re.findall(r"^\| `(\w+)`(?:, `\w+_FILE`)? \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    return [(name, default.strip("`"), meaning) for name, default, meaning in found]


def test_documentation_has_every_setting_with_its_default_and_meaning() -> None:
    declared = [(one.name, one.shown or one.default, one.meaning) for one in declared_settings()]

    assert documented_rows() == declared


def test_example_file_has_every_setting_commented_out() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = [match[1] for line in lines if (match := re.match(r"# ?([A-Z_]+)=", line))]

    assert named == [one.name for one in declared_settings()]
