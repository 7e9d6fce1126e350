"""`python -m mxax.launcher run` or `services [--temporary]`."""

from __future__ import annotations

import errno
import os
import sys

from mxax.launcher.errors import StartError, StopAsked
from mxax.launcher.service import run_service
from mxax.launcher.services import run_services
from mxax.setting_values import SettingError

_USAGE = "usage: python -m mxax.launcher run | services [--temporary]"


def main(words: list[str]) -> int:
    try:
        if words == ["run"]:
            run_service(os.environ)
        elif words in (["services"], ["services", "--temporary"]):
            run_services(os.environ, temporary=len(words) == 2)
        else:
            print(_USAGE, file=sys.stderr)
            return 2
    except (SettingError, StartError) as wrong:
        return _fail(str(wrong))
    except StopAsked:
        return 0
    except OSError as wrong:
        return _fail(_cure(wrong))
    return 0


def _fail(line: str) -> int:
    print(f"mxax: {line}", file=sys.stderr)
    return 1


def _cure(wrong: OSError) -> str:
    where = f"{wrong.filename}: " if wrong.filename else ""
    if wrong.errno == errno.ENOSPC:
        return f"{where}the disk is full: free some space, or set MXAX_DATA_DIR to another disk"
    if wrong.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{where}no permission: run as the user who owns it, "
            "or set MXAX_DATA_DIR to a folder of yours"
        )
    return f"{where}{wrong.strerror or wrong}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
