"""`python -m smtp_edge`: one edge process. Any number of them share the port."""

import gc
import os
import resource
import sys


def main() -> int:
    """Set up Django in the edge's database role, then serve until told to go."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mxax.settings")
    os.environ["MXAX_DATABASE_ROLE"] = "mxax_edge"
    import django

    from mxax.env import SettingError

    try:
        django.setup()
    except SettingError as error:
        print(f"smtp_edge: {error}", file=sys.stderr)  # noqa: T201 - before logs are set up
        return 2
    return _serve()


def _serve() -> int:
    import structlog
    import uvloop

    from mxax.env import SettingError
    from smtp_edge.service import serve
    from tenants.vault import VaultError

    _raise_descriptor_limit()
    _settle_memory()
    try:
        uvloop.run(serve())
    except (VaultError, SettingError, OSError) as error:
        structlog.get_logger().error("edge.cannot_start", reason=str(error))
        return 1
    return 0


def _settle_memory() -> None:
    """Leave what was imported out of garbage collections: a fifth of the CPU of each message."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _raise_descriptor_limit() -> None:
    """A socket a session: the soft limit of 1024 would be the first thing a flood meets."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())
