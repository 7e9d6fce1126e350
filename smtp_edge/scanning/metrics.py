"""What Prometheus may know of scanners and of an installation's own checks."""

from prometheus_client import Counter, Histogram

SCANS = Counter("mxax_scans_total", "Messages by scanner and outcome.", ["scanner", "outcome"])
SECONDS = Histogram(
    "mxax_scan_seconds",
    "From the end of data to a scanner's answer, waiting and second tries included.",
    ["scanner"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
)
FAULTS = Counter(
    "mxax_scanner_faults_total", "Questions that one address gave no answer to.", ["scanner"]
)
CHECKS = Counter(
    "mxax_checks_total",
    "Opinions of the installation's own checks and rules.",
    ["check", "outcome"],
)
