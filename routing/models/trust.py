"""Whom the tenant trusts: his choice of policy, his lists, and whose seals he believes."""

from dataclasses import fields
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from mail.policy.trust import (
    RSPAMD_LIMITS,
    SPAMD_LIMITS,
    ListKind,
    OnQuarantine,
    OnScannerAway,
    ScanPolicy,
    ScoreLimits,
    TrustPolicy,
)
from mail.policy.trust_lists import is_address, is_network
from routing.models.domain import Domain
from routing.models.route import Route

LOWEST_SCORE, HIGHEST_SCORE = -100, 1000
# A return address works for thirty days from when the mail came (mail/srs.py).
SHORTEST_QUARANTINE, LONGEST_QUARANTINE = 1, 21


def _score(default: float | None = None, **options: Any) -> Any:
    return models.FloatField(
        null=True,
        blank=True,
        default=default,
        **options,
        validators=[MinValueValidator(LOWEST_SCORE), MaxValueValidator(HIGHEST_SCORE)],
        help_text="In the scanner's own units; empty: never.",
    )


class TrustPreference(models.Model):
    """The tenant's one row; where there is none yet, the defaults hold."""

    class Quarantine(models.TextChoices):
        FORWARD = OnQuarantine.FORWARD.value, "forward it, and say that DMARC fails"
        HOLD = OnQuarantine.HOLD.value, "hold it"

    class Away(models.TextChoices):
        ACCEPT = OnScannerAway.ACCEPT.value, "take mail without it"
        DEFER = OnScannerAway.DEFER.value, "ask the client to try later (451)"

    refuses_dmarc_reject = models.BooleanField(default=True)
    on_dmarc_quarantine = models.CharField(
        max_length=10, choices=Quarantine.choices, default=Quarantine.FORWARD
    )
    greylists = models.BooleanField(default=False)
    # The columns of rspamd are older than the second scanner's.
    rspamd_add_fields_from = _score(RSPAMD_LIMITS.add_fields_from, db_column="add_fields_from")
    rspamd_quarantine_from = _score(db_column="quarantine_from")
    rspamd_refuse_from = _score(RSPAMD_LIMITS.refuse_from, db_column="refuse_from")
    spamd_add_fields_from = _score(SPAMD_LIMITS.add_fields_from)
    spamd_quarantine_from = _score()
    spamd_refuse_from = _score(SPAMD_LIMITS.refuse_from)
    refuses_viruses = models.BooleanField(default=True)
    when_scanner_away = models.CharField(max_length=10, choices=Away.choices, default=Away.ACCEPT)
    quarantine_days = models.PositiveSmallIntegerField(
        default=14,
        validators=[
            MinValueValidator(SHORTEST_QUARANTINE),
            MaxValueValidator(LONGEST_QUARANTINE),
        ],
    )
    sends_digest = models.BooleanField(default=True, help_text="What waits in quarantine, by mail.")
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(models.Value(1), name="trust_preference_one"),
            models.CheckConstraint(
                condition=models.Q(
                    quarantine_days__range=(SHORTEST_QUARANTINE, LONGEST_QUARANTINE)
                ),
                name="trust_quarantine_days",
            ),
        )

    def __str__(self) -> str:
        return "trust preferences"

    def policy(self) -> TrustPolicy:
        """The choice as the rules read it, without lists and sealers."""
        return TrustPolicy(
            refuses_dmarc_reject=self.refuses_dmarc_reject,
            on_dmarc_quarantine=OnQuarantine(self.on_dmarc_quarantine),
            greylists=self.greylists,
            scanning=ScanPolicy(
                rspamd=self._limits("rspamd"),
                spamd=self._limits("spamd"),
                refuses_viruses=self.refuses_viruses,
                when_away=OnScannerAway(self.when_scanner_away),
            ),
            quarantine_days=self.quarantine_days,
        )

    def _limits(self, scanner: str) -> ScoreLimits:
        return ScoreLimits(*(getattr(self, f"{scanner}_{one.name}") for one in fields(ScoreLimits)))


class TrustEntry(models.Model):
    """Who is let in or kept out: for all the tenant's mail, that of one domain, or of one route."""

    class Kind(models.TextChoices):
        ALLOW = ListKind.ALLOW.value, "allow"
        BLOCK = ListKind.BLOCK.value, "block"

    kind = models.CharField(max_length=5, choices=Kind.choices)
    subject = models.CharField(
        max_length=320, help_text="An address, a domain, `.domain` with all below it, or a network."
    )
    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, null=True, blank=True)
    route = models.ForeignKey(Route, on_delete=models.CASCADE, null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=500, blank=True)
    created_by = models.CharField(max_length=254, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("subject", "id")
        constraints = (
            models.UniqueConstraint(
                fields=("kind", "subject", "domain", "route"),
                name="trust_entry_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                condition=models.Q(domain=None) | models.Q(route=None),
                name="trust_entry_one_scope",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"

    @property
    def what(self) -> str:
        """What the subject names: address, network, domain, or domain and below."""
        if is_network(self.subject):
            return "network"
        if is_address(self.subject):
            return "address"
        return "domain and all below it" if self.subject.startswith(".") else "domain"


class TrustedSealer(models.Model):
    """A domain whose ARC seals this tenant believes: d= of the ARC-Seal, lower-case A-label."""

    name = models.CharField(max_length=253, unique=True)
    note = models.CharField(max_length=500, blank=True)
    created_by = models.CharField(max_length=254, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name
