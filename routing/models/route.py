"""Routes: where each address of a domain goes."""

from datetime import timedelta
from typing import Final

from django.db import models
from django.db.models.functions import Now

from mail.facts import RouteMode
from routing.models.domain import Domain

KEPT_IN_TRASH: Final = timedelta(days=30)


class Destination(models.Model):
    """An address outside that mail is forwarded to, once its owner has confirmed it."""

    address = models.CharField(max_length=320, unique=True, help_text="Wire form.")
    confirmed_at = models.DateTimeField(null=True, blank=True)
    confirmed_by = models.CharField(max_length=254, blank=True, help_text="`owner` or an operator.")
    asked_at = models.DateTimeField(null=True, blank=True, help_text="The last confirmation mail.")
    ask_digest = models.BinaryField(null=True, blank=True, help_text="Of the link's token.")
    ask_expires_at = models.DateTimeField(null=True, blank=True)
    ask_used_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True, help_text="By its owner.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("address",)

    def __str__(self) -> str:
        return self.address


class LiveRoutes(models.Manager["Route"]):
    """Routes that are not in the trash."""

    def get_queryset(self) -> models.QuerySet["Route"]:
        return super().get_queryset().filter(removed_at=None)

    def in_force(self) -> models.QuerySet["Route"]:
        """Those that take mail at this moment: nor are they past their end."""
        return self.get_queryset().filter(
            models.Q(expires_at=None) | models.Q(expires_at__gt=Now())
        )


class Route(models.Model):
    """A pattern of local parts of one domain, what to do with its mail, and where it goes.

    `objects` leaves out what is in the trash, as do the related managers (`domain.routes`);
    `with_trash` has all. Joins in filters (`destinations__routes__…`) see the trash too.
    """

    class Mode(models.TextChoices):
        ON = RouteMode.ON.value, "on"
        REFUSE = RouteMode.REFUSE.value, "paused: refuse (550)"
        DEFER = RouteMode.DEFER.value, "paused: ask to try later (450)"
        DROP = RouteMode.DROP.value, "paused: accept and drop (250)"
        HOLD = RouteMode.HOLD.value, "paused: accept and hold (250)"

    class Cause(models.TextChoices):
        """Why a route is paused: somebody's wish, or failures one after another."""

        WISH = "", "somebody wished it"
        FAILURES = "failures", "its mail failed again and again"

    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="routes")
    pattern = models.CharField(max_length=64, help_text="Local part; `*` stands for any run.")
    pattern_key = models.CharField(max_length=128, editable=False, help_text="Normal form.")
    mode = models.CharField(max_length=10, choices=Mode.choices, default=Mode.ON)
    destinations = models.ManyToManyField(
        Destination, through="RouteDestination", related_name="routes"
    )
    paused_because = models.CharField(
        max_length=10, choices=Cause.choices, default="", db_default="", blank=True
    )
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="From then on the address is unknown."
    )
    removed_at = models.DateTimeField(
        null=True, blank=True, help_text="In the trash since then; the address is unknown."
    )
    held_told_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Owners heard that its held mail ends."
    )
    note = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    objects = LiveRoutes()
    with_trash: models.Manager["Route"] = models.Manager()

    class Meta:
        ordering = ("domain", "pattern")
        constraints = (
            models.UniqueConstraint(
                fields=("domain", "pattern_key"),
                condition=models.Q(removed_at=None),
                name="route_pattern_once",
            ),
        )
        indexes = (
            models.Index(
                fields=("removed_at",),
                condition=models.Q(removed_at__isnull=False),
                name="route_in_trash",
            ),
            models.Index(
                fields=("expires_at",),
                condition=models.Q(expires_at__isnull=False),
                name="route_that_expires",
            ),
        )

    def __str__(self) -> str:
        return f"{self.pattern}@{self.domain.name}"


class RouteDestination(models.Model):
    """One destination of a route."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE)
    destination = models.ForeignKey(Destination, on_delete=models.PROTECT)

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("route", "destination"), name="route_destination_once"),
        )

    def __str__(self) -> str:
        return f"{self.route} to {self.destination}"
