#!/usr/bin/env python
"""The command line of the service: `manage.py help` lists the commands."""

import os
import sys

from mxax.env import SettingError


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mxax.settings")
    # A person reads this: what happened is said by the command, only trouble is logged.
    os.environ.setdefault("MXAX_LOG_LEVEL", "WARNING")
    os.environ.setdefault("MXAX_LOG_FORMAT", "console")
    for stream in (sys.stdout, sys.stderr):  # what a terminal cannot show must not end a command
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except SettingError as error:
        sys.exit(f"manage.py: {error}")
    except BrokenPipeError:  # `| head` has seen enough; the end of Python must not write again
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


if __name__ == "__main__":
    main()
