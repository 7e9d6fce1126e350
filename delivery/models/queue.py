"""The queue: messages, their sealed content, and one row for each delivery still to be made.

In the shared schema with `tenant_id` on every row and row-level security, because claiming due rows
from one table takes a millisecond and from 500 schemas a third of a second. `tenant_id` is empty
for mail of the service itself. Times are PostgreSQL's `clock_timestamp()`.
"""

from django.db import models
from django.db.models.functions import Now

from mail.facts import LogLevel
from mail.plan import Direction, Hold


class ClockTimestamp(Now):
    """The moment of the statement, not of the transaction."""

    def as_postgresql(self, compiler, connection, **extra):
        return self.as_sql(compiler, connection, template="clock_timestamp()", **extra)


class Message(models.Model):
    """One message of one tenant; its id is the trace id."""

    id = models.UUIDField(primary_key=True)
    tenant_id = models.BigIntegerField(null=True)
    direction = models.CharField(max_length=8, choices=[(d.value, d.value) for d in Direction])
    reverse_path = models.CharField(max_length=320, blank=True)
    outgoing_path = models.CharField(max_length=320, blank=True)
    client_ip = models.CharField(max_length=45)
    helo = models.CharField(max_length=255)
    protocol = models.CharField(max_length=12)
    tls = models.CharField(max_length=80, blank=True)
    size_octets = models.PositiveIntegerField()
    header_octets = models.PositiveIntegerField()
    chunk_count = models.PositiveSmallIntegerField()
    smtputf8 = models.BooleanField()
    eight_bit = models.BooleanField()
    log_level = models.PositiveSmallIntegerField(
        choices=[(level.value, level.name.lower()) for level in LogLevel]
    )
    keeps_attempts = models.BooleanField(db_default=True)
    """Whether attempts are written down; if not, what became of each delivery is."""
    authenticated = models.BooleanField(db_default=False)
    """The reverse-path is authentic: its owner may be told when delivery fails."""
    our_fields = models.TextField(blank=True, db_default="")
    """Fields put before the octets at each attempt: Authentication-Results, those of scanners."""
    chain = models.CharField(max_length=9, blank=True, db_default="")
    """How the chain of ARC seals stood at acceptance; empty: not looked at, and never sealed."""
    accepted_at = models.DateTimeField(db_default=ClockTimestamp())

    def __str__(self) -> str:
        return str(self.id)


class Content(models.Model):
    """A sealed piece of a message, 256 KiB of clear octets at most; orphans are swept.

    No key to Message: pieces of a large message are kept while DATA still runs, and become visible
    by the message row that commits last.
    """

    pk = models.CompositePrimaryKey("message_id", "number")
    message_id = models.UUIDField()
    number = models.PositiveSmallIntegerField()
    tenant_id = models.BigIntegerField(null=True)
    octets = models.BinaryField()
    stored_at = models.DateTimeField(db_default=ClockTimestamp())

    def __str__(self) -> str:
        return f"{self.message_id}/{self.number}"


class Delivery(models.Model):
    """One destination of a message. Delivered rows are deleted; failed ones stay visible."""

    class State(models.IntegerChoices):
        QUEUED = 0
        IN_FLIGHT = 1
        HELD = 2
        FAILED = 3

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="deliveries")
    tenant_id = models.BigIntegerField(null=True)
    route_id = models.BigIntegerField(null=True)
    recipient = models.CharField(max_length=320)
    destination = models.CharField(max_length=320)
    next_hop = models.CharField(max_length=255, blank=True)
    state = models.PositiveSmallIntegerField(choices=State.choices, default=State.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(db_default=ClockTimestamp())
    """When it is due; while in flight the end of the lease, so that one index serves both."""
    lease_token = models.UUIDField(null=True)
    leases_lost = models.PositiveSmallIntegerField(db_default=0)
    """In a row: workers died with it, or lost the database. See delivery/suspects.py."""
    last_reply = models.TextField(blank=True, default="")
    finished_at = models.DateTimeField(null=True)
    hold = models.PositiveSmallIntegerField(
        choices=[(one.value, one.name.lower()) for one in Hold], db_default=0
    )
    """Who keeps it back, and so may let it go; 0 for what is not held."""
    hold_reason = models.TextField(blank=True, db_default="")
    held_until = models.DateTimeField(null=True)
    """Then what is still held is deleted; never, where it is empty."""
    released_at = models.DateTimeField(null=True)
    """When a hold of it ended: its tries and its age count from here, not from acceptance."""

    class Meta:
        indexes = (
            models.Index(
                fields=("next_attempt_at", "id"),
                condition=models.Q(state__in=(0, 1)),
                name="delivery_due",
            ),
            models.Index(
                fields=("tenant_id", "next_attempt_at"),
                condition=models.Q(state__in=(0, 1)),
                name="delivery_due_by_tenant",
            ),
            models.Index(
                fields=("tenant_id", "finished_at"),
                condition=models.Q(state__in=(2, 3)),
                name="delivery_at_rest",
            ),
            models.Index(
                fields=("tenant_id", "hold", "id"),
                condition=models.Q(state=2),
                name="delivery_held",
            ),
            models.Index(
                fields=("held_until",),
                condition=models.Q(state=2, held_until__isnull=False),
                name="delivery_held_until",
            ),
        )

    def __str__(self) -> str:
        return f"{self.recipient} to {self.destination}"
