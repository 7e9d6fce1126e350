"""What Prometheus may know of the web process: counts and seconds, no paths and no people."""

from prometheus_client import Counter, Histogram

REQUESTS = Counter(
    "mxax_web_requests", "Requests answered, by class of the status.", ("status_class",)
)
SECONDS = Histogram(
    "mxax_web_request_seconds",
    "Seconds from request to response.",
    buckets=(0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
