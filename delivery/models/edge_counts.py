"""What the edges know together: counts of the last minutes, and senders that came back.

Keys are keyed digests: the tables tell nobody who wrote to whom. Their statements are in
delivery/shared_counts.py and delivery/greylist.py.
"""

from django.db import models


class SharedCount(models.Model):
    """How often something happened in one window, over all edges. UNLOGGED: lost in a crash."""

    pk = models.CompositePrimaryKey("key", "starts_at")
    key = models.BinaryField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(help_text="From then on it matters to nobody.")
    count = models.PositiveIntegerField()
    is_over = models.BooleanField(
        db_default=False, help_text="Over its limit: every edge wants to know."
    )

    class Meta:
        indexes = (
            models.Index(fields=("ends_at",), name="shared_count_ends"),
            models.Index(
                fields=("starts_at",), condition=models.Q(is_over=True), name="shared_count_over"
            ),
        )

    def __str__(self) -> str:
        return f"{self.starts_at}: {self.count}"


class Greylisting(models.Model):
    """A triplet that was asked to come back, or a sender that did.

    `passes` counts what a sender delivered after he came back; a triplet has 0 until then, and 1.
    """

    key = models.BinaryField(primary_key=True)
    first_at = models.DateTimeField()
    passes = models.PositiveIntegerField(db_default=0)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.first_at}: {self.passes}"
