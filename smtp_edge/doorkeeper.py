"""Who may come in, how often and how fast: what a client meets between connect and RCPT.

One `Doorkeeper` a process, one `Visit` a session. A visit knows what is known of its client; the
dialog asks it at each step and says what it answers.

| step | asks | answers |
|---|---|---|
| connect | `Doorkeeper.refusal` | 421 4.7.0: too often, too many refused recipients or guesses |
| banner | `Visit.suspicion` | whether to let the client wait |
| MAIL | `Visit.at_mail` | 421 4.7.0: too many messages |
| RCPT that the policy accepts | `Visit.judge` | 550 listed, 450 too busy, 450 greylisted |
| RCPT that is refused | `Visit.refused` | 421 4.7.0: too many refused recipients |
| 250 | `Visit.delivered` | nothing: it counts |

Networks that the operator trusts (loopback, unless he says otherwise) meet no list, no rate and no
greylisting; limits on what one session does hold for everybody.
"""

import os
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import structlog

from delivery.refusals import RefusedAt
from mail.envelope import Client
from mail.events import Event, EventKind
from mail.lookups import Lookup
from mail.reply import Reply
from mail.trace import format_trace_id, new_trace_id
from smtp_edge import metrics, replies
from smtp_edge.clients import LOOPBACK, Among, Network, client_key
from smtp_edge.dns_lists import DnsLists
from smtp_edge.greylist import Greylisting
from smtp_edge.limits import Limits
from smtp_edge.ports import Reporter
from smtp_edge.rates import Rates
from smtp_edge.shared_counts import Counts, OwnCounts
from smtp_edge.visit import Visit

log = structlog.get_logger()

_MOST_TOLD: Final = 10_000
_MINUTE: Final = 60.0


class Doorkeeper:
    """Lives in the event loop. What is not given is not done: no lists, no greylisting."""

    def __init__(
        self,
        limits: Limits,
        *,
        counts: Counts | None = None,
        lists: DnsLists | None = None,
        lookup: Lookup | None = None,
        greylist: Greylisting | None = None,
        reporter: Reporter | None = None,
        unlimited: Sequence[Network] = LOOPBACK,
        list_weight: int = 1,
    ) -> None:
        self.limits = limits
        self.rates = Rates.of(limits, counts or OwnCounts())
        self.lists = lists
        self.lookup = lookup
        self.greylist = greylist
        self.list_weight = list_weight
        """From this sum of weights on a client is refused."""
        self._reporter = reporter
        self._unlimited = Among(unlimited)
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()

    def visit(self, ip: str) -> Visit:
        """The state of one session; nothing is asked yet."""
        return Visit(self, ip, client_key(ip), is_unlimited=ip in self._unlimited)

    def look_after(self) -> None:
        """Once a second: let no exchange of counts hang."""
        self.rates.counts.look_after()

    def refusal(self, visit: Visit) -> Reply | None:
        """Count a connection, or the reply that turns it away."""
        rates, key = self.rates, visit.key
        if rates.counts.over(rates.guesses, key):
            return self._refuse(visit, "too_many_guesses", replies.TOO_MANY_GUESSES)
        if visit.is_unlimited:
            return None
        if rates.counts.over(rates.refused, key):
            return self._refuse(visit, "too_many_refused", replies.TOO_MANY_REFUSED)
        if rates.too_many(rates.connections, key):
            return self._refuse(visit, "too_often", replies.TOO_OFTEN)
        return None

    def crowd(self, visit: Visit) -> Reply:
        """The reply to one connection too many at a time."""
        return self._refuse(visit, "too_many_connections", replies.TOO_MANY_CONNECTIONS)

    def _refuse(self, visit: Visit, rule: str, reply: Reply) -> Reply:
        self.note("connect", Client(visit.ip, 0, "", ""), rule, reply)
        return reply

    def note(self, stage: str, client: Client, rule: str, reply: Reply) -> None:
        """Write down that a client was turned away: once a minute, and count the rest."""
        metrics.REFUSALS.labels(stage, rule).inc()
        if not self._is_news((client.ip, rule)):
            return
        trace_id = new_trace_id(time.time_ns() // 1_000_000, os.urandom(10))
        log.info(
            "mail.client_refused",
            trace_id=format_trace_id(trace_id),
            client=client.ip,
            stage=stage,
            rule=rule,
            reply=str(reply),
        )
        if self._reporter is None:
            return
        event = Event(
            kind=EventKind.REFUSED,
            trace_id=trace_id,
            tenant_id=None,
            client_ip=client.ip,
            helo=client.helo,
            protocol=client.protocol,
            tls=client.tls,
            stage=stage,
            reply=str(reply),
            rule=rule,
            reason=rule.replace("_", " "),
            trail=(rule,),
        )
        self._reporter.refused(RefusedAt(event))

    def _is_news(self, what: tuple[str, str]) -> bool:
        now = time.monotonic()
        told_at = self._told.get(what)
        if told_at is not None and now - told_at < _MINUTE:
            return False
        self._told[what] = now
        self._told.move_to_end(what)
        if len(self._told) > _MOST_TOLD:
            self._told.popitem(last=False)
        return True
