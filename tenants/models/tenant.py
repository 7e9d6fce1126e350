"""A tenant: one customer with a PostgreSQL schema of his own."""

from django.db import models
from django_tenants.models import DomainMixin, TenantMixin

from mail.facts import TenantStanding


class Tenant(TenantMixin):
    """The schema's name is made from the id (`t17`), never from what a person typed."""

    class Standing(models.TextChoices):
        ACTIVE = TenantStanding.ACTIVE.value
        SUSPENDED = TenantStanding.SUSPENDED.value
        ABUSIVE = TenantStanding.ABUSIVE.value

    auto_create_schema = False
    auto_drop_schema = False

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=120, blank=True)
    standing = models.CharField(
        max_length=10, choices=Standing.choices, default=Standing.ACTIVE, db_index=True
    )
    forward_cap = models.PositiveIntegerField(
        null=True, blank=True, help_text="Deliveries a day; empty means the installation's setting."
    )
    requires_second_factor = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Members without a second factor see nothing but the page that sets one up.",
    )
    paused_by_owner = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Suspended by one of its owners, who may resume it; not by an operator.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("slug",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(schema_name="public")
                | models.Q(schema_name__regex=r"^t[0-9]+$"),
                name="tenant_schema_name_is_generated",
            ),
        )

    def __str__(self) -> str:
        return self.slug


class Hostname(DomainMixin):
    """Only because django-tenants asks for a domain model: one row, no routing by host."""

    def __str__(self) -> str:
        return str(self.domain)
