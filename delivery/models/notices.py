"""What authors were told, so that nobody hears of the same thing twice, or too often."""

from django.db import models


class NoticeTally(models.Model):
    """Notices by what they were about: a recipient of a message, a reverse-path, a route.

    `key` is a keyed hash: the table tells nobody who was told.
    """

    pk = models.CompositePrimaryKey("key", "period")
    key = models.BinaryField()
    period = models.DateTimeField(db_index=True)
    """The hour of a reverse-path, the UTC day of a route, the day a message came."""
    count = models.PositiveIntegerField()
    at = models.DateTimeField()
    """When the last of them was made."""

    def __str__(self) -> str:
        return f"{bytes(self.key).hex()[:12]} {self.period}: {self.count}"
