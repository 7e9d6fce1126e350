"""What is sealed in a tenant's schema, and what each value is bound to."""

from tenants.reencryption import SealedColumn


def dkim_context(domain_id: int, selector: str) -> bytes:
    """What the private half of a customer's DKIM key is bound to."""
    return f"dkim key {domain_id} {selector}".encode()


def webhook_context(webhook_id: int) -> bytes:
    """What the signing secret of a webhook is bound to."""
    return f"webhook {webhook_id}".encode()


TENANT_COLUMNS = (
    SealedColumn(
        table="routing_dkimkey",
        column="sealed_private",
        key=("id",),
        bound_to=("domain_id", "selector"),
        context=dkim_context,
    ),
    SealedColumn(
        table="routing_webhook",
        column="sealed_secret",
        key=("id",),
        bound_to=("id",),
        context=webhook_context,
    ),
)
