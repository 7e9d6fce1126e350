"""What is stored and for how long, read from the settings in force: the page cannot promise more.

Each line names the thing, why it is there and when it is gone.
"""

from dataclasses import dataclass

from django.conf import settings

from delivery.retention import COUNTS_DAYS
from delivery.sweeps import KEPT_DAYS
from mail.facts import HELD_DAYS
from routing.models import LogPolicy, TrustPreference
from routing.services.confirmations import LINK_LIVES
from tenants.audit_cut import SHORTEST_DAYS
from tenants.limits import KEPT_SECONDS, KNOWN_DAYS


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing that is stored."""

    what: str
    why: str
    until: str


def kept_of_mail() -> list[Kept]:
    """What a message leaves behind, with the defaults of a new tenant."""
    policy = LogPolicy()
    return [
        Kept(
            "The message itself, encrypted",
            "to deliver it, and to try again where a next hop asks for it",
            "an hour after the last recipient is served; failed mail is kept only where the tenant "
            f"chose so (today's default: {_days(policy.content_days)})",
        ),
        Kept(
            "Mail that a tenant's policy holds in quarantine, encrypted",
            "so that somebody can look at it, and release or delete it",
            f"{_days(TrustPreference().quarantine_days)} by default; each tenant chooses",
        ),
        Kept(
            "Mail for a route that is paused to hold it, encrypted",
            "to deliver it when the route is on again",
            _days(HELD_DAYS),
        ),
        Kept(
            "Addresses, times, sizes and replies of accepted and delivered mail",
            "to answer “where is my message?”",
            f"{_days(policy.message_days)} by default; each tenant chooses",
        ),
        Kept(
            "Every attempt with the next hop's reply",
            "to show why mail waits",
            f"{_days(policy.attempt_days)} by default; each tenant chooses",
        ),
        Kept(
            "Refusals: who asked for which address, and why the answer was no",
            "to show wrongly refused mail",
            f"{_days(policy.refused_days)} by default; each tenant chooses",
        ),
        Kept(
            "Counts of messages per route and day, without addresses",
            "to see which routes are used",
            _days(COUNTS_DAYS),
        ),
        Kept(
            "How often a client was refused in an hour",
            "to notice attacks",
            _days(KEPT_DAYS["refusal tallies"]),
        ),
        Kept(
            "Mail to our own addresses, and returns of no tenant: addresses and times",
            "to run the service",
            _days(KEPT_DAYS["service events"]),
        ),
    ]


def kept_of_people() -> list[Kept]:
    """What an account leaves behind."""
    idle, longest = settings.SESSION_IDLE_SECONDS // 3600, settings.SESSION_COOKIE_AGE // 86400
    return [
        Kept(
            "E-mail address, name, a hash of the password",
            "to sign in",
            "until the account is deleted",
        ),
        Kept(
            "Sessions: browser and network address",
            "to show where you are signed in",
            f"until you sign out, after {idle} hours without use, or {longest} days",
        ),
        Kept(
            "How often somebody tried to sign in, as keyed digests",
            "to slow down guessing",
            f"{_days(KEPT_SECONDS // 86400)}; from where you signed in well, {_days(KNOWN_DAYS)}",
        ),
        Kept(
            "Who changed what in a tenant",
            "to answer for changes",
            f"{_days(LogPolicy().audit_days)} by default, "
            f"{_days(SHORTEST_DAYS)} at least; each tenant chooses",
        ),
        Kept(
            "The address of somebody who was asked whether mail may be forwarded to him",
            "to ask nobody too often; a keyed digest stays so that “not me” holds for good",
            f"the link ends after {int(LINK_LIVES.total_seconds() // 3600)} hours",
        ),
    ]


def _days(days: int) -> str:
    if days == 0:
        return "not stored"
    return "1 day" if days == 1 else f"{days} days"
