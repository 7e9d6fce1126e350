"""TLS towards next hops: whatever encrypts is better than nothing (RFC 7435)."""

import ssl


def opportunistic_tls() -> ssl.SSLContext:
    """Encrypts against listeners; certificates of mail hosts prove nothing without DANE or STS."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
