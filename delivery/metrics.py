"""What delivery counts, for Prometheus; one sum over all processes."""

from prometheus_client import Counter, Gauge, Histogram

ATTEMPTS = Counter("mxax_delivery_attempts", "Attempts ended, by outcome.", ("outcome",))
LOST_LEASES = Counter("mxax_delivery_lost_leases", "Attempts whose lease another loop had taken.")
TAKEN_OVER = Counter("mxax_delivery_taken_over", "Deliveries claimed after a lease had run out.")
HELD = Counter("mxax_delivery_held", "Deliveries held because their workers died, in a row.")
QUEUE_SECONDS = Histogram(
    "mxax_delivery_queue_seconds",
    "From acceptance to delivery.",
    buckets=(0.005, 0.02, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 3600, 14400, 86400),
)
IN_FLIGHT = Gauge("mxax_delivery_in_flight", "Deliveries under way.", multiprocess_mode="livesum")
NOTICES = Counter(
    "mxax_notices", "Decisions whether an author is told, by kind and reason.", ("kind", "reason")
)
CLAIMED = Counter("mxax_delivery_claimed", "Deliveries claimed.")
EXCHANGES = Counter("mxax_delivery_exchanges", "Transactions that settle and claim.")
EXCHANGE_SECONDS = Histogram(
    "mxax_delivery_exchange_seconds",
    "Time of a transaction that settles and claims.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.5, 2, 10, 30),
)
CONNECTIONS = Counter(
    "mxax_next_hop_connections", "Connections to next hops, by result.", ("result",)
)
RINGS = Counter("mxax_bell_rings", "Wake-ups published, by result.", ("result",))
