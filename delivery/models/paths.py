"""Reverse-paths too long for the classic SRS form."""

from django.db import models


class OpaquePath(models.Model):
    """A reverse-path sealed under a key that only the token in the address gives."""

    row_id = models.BinaryField(primary_key=True, help_text="Hash of the token.")
    sealed = models.BinaryField()
    expires_on = models.DateField(db_index=True)

    def __str__(self) -> str:
        return bytes(self.row_id).hex()[:12]
