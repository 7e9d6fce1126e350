"""Ends the children of a launcher that was killed: nothing may be left ten seconds later.

Runs as a script of its own, without our packages, to stay small. Its standard input is a pipe
from the launcher: `+ PID STAGE SIGNAL` for a child that started, `- PID` for one that ended, `bye`
for an orderly end. The end of the pipe without `bye` means that the launcher died; then the groups
end stage by stage, first asked by their signal, then killed.
"""

import os
import signal
import sys
import time
from contextlib import suppress

# Seconds that each stage has before it is killed: 9 s in all.
BOUNDS = {0: 4.5, 1: 1.5, 2: 3.0}


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    watched: dict[int, tuple[int, int]] = {}
    for line in sys.stdin:
        sign, *words = line.split()
        if sign == "bye":
            return
        if sign == "+":
            pid, stage, number = map(int, words)
            watched[pid] = (stage, number)
        else:
            watched.pop(int(words[0]), None)
    for stage in sorted({stage for stage, _ in watched.values()}):
        end_stage({pid: how for pid, (at, how) in watched.items() if at == stage}, BOUNDS[stage])


def end_stage(signals: dict[int, int], bound: float) -> None:
    for pid, number in signals.items():
        send(pid, number)
    deadline = time.monotonic() + bound
    while (left := living(set(signals))) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left:
        send(pid, signal.SIGKILL)


def send(group: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it ended by itself
        os.killpg(group, number)


def living(groups: set[int]) -> set[int]:
    """Those with a process that is not a zombie (which nobody may reap in a container)."""
    if not os.path.isdir("/proc/self"):
        return {group for group in groups if answers(group)}
    found = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                state, _, group = file.read().rpartition(b")")[2].split()[:3]
        except OSError:
            continue
        if state not in (b"Z", b"X"):
            found.add(int(group))
    return found & groups


def answers(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main()
