"""The tenant's log: what happened to each message, as his policy allows, for as long as it says."""

from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models


class LoggedMessage(models.Model):
    """One message or refusal, and where it stands; `trace_id` is the handle for support.

    Trace ids begin with their time, so that lists of messages are in order of the primary key.
    """

    trace_id = models.UUIDField(primary_key=True)
    at = models.DateTimeField()
    direction = models.CharField(max_length=8, blank=True)
    state = models.CharField(max_length=10)
    reverse_path = models.CharField(max_length=320, blank=True)
    recipient = models.CharField(max_length=320, blank=True, help_text="The first one.")
    author = models.CharField(max_length=320, blank=True)
    subject = models.TextField(blank=True)
    client_ip = models.CharField(max_length=45, blank=True)
    size_octets = models.PositiveIntegerField(default=0)
    reason = models.TextField(blank=True)
    changed_at = models.DateTimeField()
    names = ArrayField(models.TextField(), default=list, db_default=[], blank=True, editable=False)
    """What it can be found by: the names of its `LoggedName`s."""

    class Meta:
        indexes = (
            models.Index(fields=("-at",), name="logged_message_at"),
            # Refusals have days of their own, and their retention must not read all mail.
            models.Index(
                fields=("at",), condition=models.Q(state="refused"), name="logged_refusal_at"
            ),
            # What a search narrows itself to is rare; common things need no index, and mail that
            # is delivered, nearly all there is, pays for none of these.
            models.Index(
                fields=("state", "trace_id"),
                condition=~models.Q(state="delivered"),
                name="logged_message_state",
            ),
            models.Index(
                fields=("trace_id",), condition=~models.Q(reason=""), name="logged_message_reason"
            ),
            models.Index(
                fields=("direction", "trace_id"),
                condition=models.Q(direction__in=("return", "notice")),
                name="logged_message_direction",
            ),
        )

    def __str__(self) -> str:
        return str(self.trace_id)


class LoggedName(models.Model):
    """What a message is found by: an address or a domain in it, on the side where it stands.

    | name | is of |
    |---|---|
    | `to:hi@example.org`, `to:@example.org` | a recipient |
    | `from:carol@author.example`, `from:@author.example` | the reverse-path or the author |
    | `to:~0f3c…` | a recipient whose addresses are hashed |

    In lower case. The key is in order of time below each name, so that the newest fifty messages of
    a domain with a million cost fifty rows.
    """

    pk = models.CompositePrimaryKey("name", "trace_id")
    name = models.TextField(db_collation="C")
    trace_id = models.UUIDField()

    def __str__(self) -> str:
        return self.name


class LoggedEvent(models.Model):
    """One event of a message; the id is the outbox's, so that moving it twice does no harm."""

    id = models.BigIntegerField(primary_key=True)
    trace_id = models.UUIDField()
    kind = models.CharField(max_length=10)
    at = models.DateTimeField()
    recipient = models.CharField(max_length=320, blank=True)
    data = models.JSONField(encoder=DjangoJSONEncoder)

    class Meta:
        indexes = (
            models.Index(fields=("trace_id", "id"), name="logged_event_trace"),
            models.Index(fields=("kind", "at"), name="logged_event_kind_at"),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.trace_id}"


class RouteDay(models.Model):
    """What a route's mail came to on a day (UTC); `route_id` 0 is the whole tenant.

    Kept up by the log writer, so that no page counts messages. Rows older than 400 days go.
    """

    pk = models.CompositePrimaryKey("route_id", "day")
    route_id = models.BigIntegerField()
    day = models.DateField(db_index=True)
    accepted = models.PositiveIntegerField(db_default=0)
    delivered = models.PositiveIntegerField(db_default=0)
    deferred = models.PositiveIntegerField(db_default=0)
    failed = models.PositiveIntegerField(db_default=0)
    refused = models.PositiveIntegerField(db_default=0)
    last_at = models.DateTimeField(help_text="The last accepted message of that day.", null=True)

    def __str__(self) -> str:
        return f"route {self.route_id} on {self.day}"


class RouteFailure(models.Model):
    """A permanent failure of a route's mail within the last day: enough of them pause the route."""

    event_id = models.BigIntegerField(primary_key=True)
    route_id = models.BigIntegerField()
    at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"route {self.route_id} at {self.at}"
