"""Random text for secrets and their locators: lower-case base32, which can be read aloud."""

import base64
import secrets


def random_text(octets: int) -> str:
    """`octets` random octets as text without padding; 20 give 160 bits in 32 characters."""
    return base64.b32encode(secrets.token_bytes(octets)).decode("ascii").rstrip("=").lower()
