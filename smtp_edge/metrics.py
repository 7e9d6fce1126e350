"""What Prometheus may know of the edge: numbers only, no names that clients make up."""

from prometheus_client import Counter, Gauge, Histogram

CONNECTIONS = Gauge("mxax_edge_connections", "Open SMTP connections.", multiprocess_mode="livesum")
MESSAGES = Counter("mxax_edge_messages_total", "Messages accepted (one a tenant and transaction).")
REFUSALS = Counter("mxax_edge_refusals_total", "Refusals by stage and rule.", ["stage", "rule"])
OCTETS = Counter("mxax_edge_octets_total", "Octets of accepted messages.")
BATCH = Histogram(
    "mxax_edge_commit_batch", "Sessions in one commit.", buckets=(1, 2, 4, 8, 16, 32, 64)
)
KEEP_SECONDS = Histogram(
    "mxax_edge_keep_seconds",
    "From the final dot to the answer of the database.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 10, 30),
)
DOMAIN_LOOKUPS = Counter(
    "mxax_edge_domain_lookups_total", "Domains looked up, by where the answer was.", ["from"]
)
REPORTS_LOST = Counter(
    "mxax_edge_reports_lost_total", "Refusals that were not written down: the queue was full."
)
EXCEPTIONS = Counter("mxax_edge_exceptions_total", "Sessions that met an unexpected error.")
