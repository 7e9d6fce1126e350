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
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except SettingError as error:
        sys.exit(f"manage.py: {error}")


if __name__ == "__main__":
    main()
