"""`python -m mxax.launcher run` or `services [--temporary]`."""

from __future__ import annotations

import os
import sys

_USAGE = "usage: python -m mxax.launcher run | services [--temporary]"


def main(words: list[str]) -> int:
    try:
        return _run(words)
    except KeyboardInterrupt:  # until the supervisor takes signals; nothing runs yet
        return 130


def _run(words: list[str]) -> int:
    # Imported here, so that Ctrl-C meanwhile ends without a word too.
    from mxax.data_folder import cure_of
    from mxax.launcher.errors import StartError, StopAsked
    from mxax.launcher.service import run_service
    from mxax.launcher.services import run_services
    from mxax.setting_values import SettingError

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
        return _fail(cure_of(wrong))
    return 0


def _fail(line: str) -> int:
    print(f"mxax: {line}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
