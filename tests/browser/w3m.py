"""w3m on a pseudo-terminal, driven by its keys; what it shows is read from what it saves."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import termios
import threading
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest

ROWS, COLUMNS = 60, 160
COMMAND, ENTER, KILL_LINE = b"X", b"\r", b"\x15"
_OPTIONS = ("use_cookie=1", "accept_cookie=1", "confirm_qq=0", "auto_image=0", "use_mouse=0")
_FIELDS = {"input", "button", "select", "textarea"}


class _Anchors(HTMLParser):
    """The links and controls of a page in the order in which w3m counts them."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, str]] = []  # kind, its text or its id
        self.labels: dict[str, str] = {}
        self._open: list[tuple[str, str, list[str]]] = []
        self.feed(source)

    def handle_starttag(self, tag: str, pairs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in pairs}
        if tag in _FIELDS:  # hidden ones, too: w3m numbers them and steps over them
            self.found.append((tag, values.get("id", "")))
        elif tag == "a" and "href" in values:
            self.found.append(("a", ""))
        if tag in ("a", "button", "label"):
            self._open.append((tag, values.get("for", ""), []))

    def handle_data(self, data: str) -> None:
        for _, _, parts in self._open:
            parts.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("a", "button", "label") or not self._open:
            return
        _, owner, parts = self._open.pop()
        text = " ".join("".join(parts).split())
        if tag == "label":
            self.labels[text] = owner
            return
        last = max(n for n, (kind, _) in enumerate(self.found) if kind == tag)
        self.found[last] = (tag, text)

    def number(self, kind: str, text: str) -> int:
        """Which one it is, counted from 1."""
        for number, one in enumerate(self.found, 1):
            if one == (kind, text):
                return number
        raise AssertionError(f"no {kind} {text!r} in {self.found}")

    def control(self, label: str, *, begins: bool = False) -> tuple[int, str]:
        """The number and the tag of the control with this label."""
        for text, owner in self.labels.items():
            if text == label or (begins and text.startswith(label)):
                for number, (kind, name) in enumerate(self.found, 1):
                    if name == owner and kind in _FIELDS:
                        return number, kind
        raise AssertionError(f"no field {label!r} in {self.labels}")


class W3m:
    """A person at a terminal, with cookies of his own."""

    def __init__(self, url: str, folder: Path) -> None:
        program = shutil.which("w3m")
        if program is None:
            pytest.skip("w3m is not installed (Debian: apt install w3m)")
        self.url, self.folder, self._saved = url, folder, 0
        home = folder / "home"
        (home / ".w3m").mkdir(parents=True)
        (home / ".w3m" / "keymap").write_text("keymap X COMMAND\n")
        self.typed = folder / "typed"
        editor = folder / "editor"
        editor.write_text(f'#!/bin/sh\ncat "{self.typed}" > "$1"\n')
        editor.chmod(0o700)
        options = [part for one in (*_OPTIONS, f"editor={editor}") for part in ("-o", one)]
        self._begin([program, *options, f"{url}/"], home)

    def _begin(self, words: list[str], home: Path) -> None:
        self.terminal, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {**os.environ, "HOME": str(home), "TERM": "xterm", "LANG": "C.UTF-8"}
        self.process = subprocess.Popen(
            words, stdin=inner, stdout=inner, stderr=inner, env=environment, start_new_session=True
        )
        os.close(inner)
        self.drawn = bytearray()
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self) -> None:
        try:
            while octets := os.read(self.terminal, 65536):
                self.drawn += octets
        except OSError:
            return  # it ended

    # --- keys

    def keys(self, *octets: bytes) -> None:
        for one in octets:
            os.write(self.terminal, one)

    def command(self, words: str) -> None:
        self.keys(COMMAND, words.encode(), ENTER)

    def _save(self, what: str) -> str:
        """What it saves, once everything typed before was done."""
        self._saved += 1
        path = self.folder / f"saved-{self._saved}"
        deadline = time.monotonic() + 60
        self.command(f"{what} {path}")
        while time.monotonic() < deadline:
            if path.exists() and (text := path.read_text(errors="replace")):
                time.sleep(0.05)
                return path.read_text(errors="replace") or text
            time.sleep(0.05)
        raise AssertionError(f"w3m says: {bytes(self.drawn[-1500:])!r}")

    def _to(self, number: int) -> None:
        self.keys(str(number).encode(), b"[")

    # --- what a person does

    def open(self, path: str) -> None:
        self.command(f"GOTO {urljoin(self.url, path)}")

    def fill(self, label: str, text: str) -> None:
        number, kind = _Anchors(self.source()).control(label)
        self._to(number)
        if kind == "textarea":
            self.typed.write_text(text)
            self.keys(ENTER)
        else:
            self.keys(ENTER, KILL_LINE, text.encode(), ENTER)

    def choose(self, label: str) -> None:
        number, _ = _Anchors(self.source()).control(label, begins=True)
        self._to(number)
        self.keys(ENTER)

    def press(self, button: str) -> None:
        self._to(_Anchors(self.source()).number("button", button))
        self.keys(ENTER)

    def follow(self, link: str) -> None:
        self._to(_Anchors(self.source()).number("a", link))
        self.keys(ENTER)

    def text(self) -> str:
        return re.sub(r"[ \t]+", " ", self._save("SAVE_SCREEN"))

    def source(self) -> str:
        return self._save("SAVE")

    def close(self) -> None:
        self.keys(b"q")
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
        os.close(self.terminal)
