"""What Prometheus may know of the edge: numbers only, no names that clients make up.

Its values lie in a mapped file behind a lock. What every message counts is summed up in memory by
the event loop, and `publish` writes it down once a second.
"""

from prometheus_client import Counter, Gauge, Histogram


class Tally:
    """A counter of the event loop's, a second late."""

    __slots__ = ("_counter", "_unpublished")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._unpublished = 0

    def add(self, amount: int = 1) -> None:
        self._unpublished += amount

    def publish(self) -> None:
        if self._unpublished:
            self._counter.inc(self._unpublished)
            self._unpublished = 0


CONNECTIONS = Gauge("mxax_edge_connections", "Open SMTP connections.", multiprocess_mode="livesum")
MESSAGES = Tally(
    Counter("mxax_edge_messages_total", "Messages accepted (one a tenant and transaction).")
)
REFUSALS = Counter("mxax_edge_refusals_total", "Refusals by stage and rule.", ["stage", "rule"])
OCTETS = Tally(Counter("mxax_edge_octets_total", "Octets of accepted messages."))
BATCH = Histogram(
    "mxax_edge_commit_batch", "Sessions in one commit.", buckets=(1, 2, 4, 8, 16, 32, 64)
)
KEEP_SECONDS = Histogram(
    "mxax_edge_keep_seconds",
    "From the final dot to the answer of the database.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 10, 30),
)
_LOOKUPS = Counter(
    "mxax_edge_domain_lookups_total", "Domains looked up, by where the answer was.", ["from"]
)
LOOKUPS_IN_CACHE = Tally(_LOOKUPS.labels("cache"))
LOOKUPS_IN_DATABASE = Tally(_LOOKUPS.labels("database"))
REPORTS_LOST = Counter(
    "mxax_edge_reports_lost_total", "Refusals that were not written down: the queue was full."
)
LIST_ANSWERS = Counter(
    "mxax_edge_list_answers_total", "What lists in the DNS said of clients.", ["said"]
)
PROXY_HEADERS = Counter(
    "mxax_edge_proxy_headers_total", "What trusted proxies began with.", ["kind"]
)
EARLY_TALKERS = Counter(
    "mxax_edge_early_talkers_total", "Clients that did not wait for their turn.", ["where"]
)
SHARED_COUNTS_AWAY = Gauge(
    "mxax_edge_shared_counts_away",
    "Processes that count for themselves alone: the database is away.",
    multiprocess_mode="livesum",
)
VERIFIED = Counter(
    "mxax_edge_verified_total",
    "Messages by what DMARC came to; unasked: no DNS.",
    ["dmarc"],
)
VERIFY_SECONDS = Histogram(
    "mxax_edge_verify_seconds",
    "From the end of data to the verdict on who wrote it.",
    buckets=(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 20),
)
GREYLIST = Counter("mxax_edge_greylist_total", "What greylisting said.", ["said"])
EXCEPTIONS = Counter("mxax_edge_exceptions_total", "Sessions that met an unexpected error.")


def publish(connections: int) -> None:
    """Tell Prometheus what was counted since the last time."""
    CONNECTIONS.set(connections)
    for tally in (MESSAGES, OCTETS, LOOKUPS_IN_CACHE, LOOKUPS_IN_DATABASE):
        tally.publish()
