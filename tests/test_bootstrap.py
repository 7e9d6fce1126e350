"""Setting up from a bare Python: what fails ends with one line that says what to do."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script in a checkout of its own, with nothing to install."""
    (tmp_path / "deploy").mkdir()
    (tmp_path / "requirements").mkdir()
    shutil.copy(ROOT / "deploy" / "bootstrap.py", tmp_path / "deploy")
    (tmp_path / "requirements" / "base.txt").write_text("")
    spec = importlib.util.spec_from_file_location("bootstrap", tmp_path / "deploy/bootstrap.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_first_time_makes_the_environment_and_the_second_does_nothing(
    bootstrap: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bootstrap.main(["base"]) == 0
    first = capsys.readouterr().out

    assert bootstrap.main(["base"]) == 0

    assert "Environment" in first
    assert "Packages" in first
    assert capsys.readouterr().out == ""


def test_moved_checkout_gets_a_new_environment(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bootstrap.main(["base"]) == 0
    stamp = (bootstrap.VENV / ".installed-base").read_text()
    assert bootstrap.is_stamped("base", stamp)

    moved = tmp_path / "moved"
    bootstrap.VENV.rename(moved)
    monkeypatch.setattr(bootstrap, "VENV", moved)
    monkeypatch.setattr(bootstrap, "PYTHON", moved / "bin" / "python")

    assert not bootstrap.is_stamped("base", stamp)


def test_full_disk_is_said_before_anything_is_made(
    bootstrap: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "NEEDED_OCTETS", 10**18)

    assert bootstrap.main(["base"]) == 1

    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "free some space" in told
    assert not bootstrap.VENV.exists()


def test_missing_venv_module_names_the_package(
    bootstrap: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)

    assert bootstrap.main(["base"]) == 1

    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert f"apt install python{version}-venv" in capsys.readouterr().err


def test_package_that_does_not_exist_is_named(
    bootstrap: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wanted = bootstrap.ROOT / "requirements" / "base.txt"
    wanted.write_text("no-such-package==1 --hash=sha256:" + "0" * 64 + "\n")

    assert bootstrap.main(["base"]) == 1

    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert "there is no package of no-such-package==1 for this platform" in told[0]


@pytest.mark.parametrize(
    ("told", "cure"),
    [
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        (
            "WARNING: Retrying after connection broken\n"
            "ERROR: No matching distribution found for uvloop==1",
            "uvloop==1 cannot be fetched: check the network",
        ),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "is not the one requirements/ names"),
        ("ERROR: something else", "pip failed: ERROR: something else"),
    ],
)
def test_what_pip_says_becomes_a_cure(bootstrap: ModuleType, told: str, cure: str) -> None:
    assert cure in bootstrap.cure(told.splitlines())


def old_pythons() -> list[str]:
    names = ("python3.6", "python3.7", "python3.8", "python3.9", "python3.10")
    return [path for name in names if (path := shutil.which(name))]


def test_old_python_reads_the_line_that_says_so() -> None:
    for python in old_pythons():
        asked = subprocess.run([python, "--version"], capture_output=True, check=False)
        if asked.returncode:
            continue  # a shim without its Python

        done = subprocess.run(
            [python, ROOT / "deploy" / "bootstrap.py", "base"],
            capture_output=True,
            text=True,
            check=False,
        )

        assert done.returncode == 1
        assert done.stderr.startswith("setup: Python 3.11, 3.12 or 3.13 is needed, this is 3.")
        assert done.stderr.count("\n") == 1
