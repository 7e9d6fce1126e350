"""The certificate of the SMTP listeners: the operator's, else one of our own making.

Clients on port 25 encrypt without asking who we are (RFC 3207; RFC 7435), so a self-made
certificate is worth having from the first minute. For the same reason nothing below TLS 1.2 is
spoken (RFC 8996): who cannot do better sends in clear text, and does not think otherwise.
"""

import os
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SELF_MADE = "smtp-tls.pem"
_LIFE = timedelta(days=3650)
# For TLS 1.2, with forward secrecy only. Named, for what Python takes otherwise is the builder's
# choice; CBC with SHA-2 stays for appliances that know no better. No DHE: its cost is the server's.
_CIPHERS = "@SECLEVEL=2:ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL:!SHA1:!AESCCM"


def server_context(
    certificate: Path | None, key: Path | None, *, hostname: str, keys_folder: Path
) -> ssl.SSLContext:
    """The context for STARTTLS, TLS 1.2 at least. Raises `OSError` where files cannot be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_ciphers(_CIPHERS)
    if certificate is None:
        certificate = _self_made(keys_folder / SELF_MADE, hostname)
    context.load_cert_chain(certificate, key)
    return context


def _self_made(path: Path, hostname: str) -> Path:
    """Key and certificate in one file, made once however many processes start at a time."""
    if path.exists():
        return path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(_key_and_certificate(hostname))
        with suppress(FileExistsError):  # another process was first
            os.link(draft, path)
    finally:
        draft.unlink()
    return path


def _key_and_certificate(hostname: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname[:64])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(pem)
