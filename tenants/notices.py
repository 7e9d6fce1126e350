"""Where packages hand in mail of our own making; delivery is bound to it by mxax/wiring.py."""

from uuid import UUID

from mail.ports import Notice, NoticeSender


class NotWired(RuntimeError):
    """The process did not bind a sender: its entry point has to call `mxax.wiring.bind`."""


_bound: list[NoticeSender] = []


def bind_notices(sender: NoticeSender) -> None:
    """Send notices by this one from now on."""
    _bound[:] = [sender]


def send_notice(notice: Notice, *, tenant_id: int | None) -> UUID:
    """Queue a notice in the current transaction; gives its trace id. Raises `NotWired`."""
    if not _bound:
        raise NotWired("no sender of notices is bound")
    return _bound[0].send_notice(notice, tenant_id=tenant_id)
