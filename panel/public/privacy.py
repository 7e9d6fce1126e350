"""What is stored and for how long, read from the settings in force: the page cannot promise more.

Each line names the thing, why it is there and when it is gone, and the tables that hold it: a test
asks that each table of the service stands here, or has nothing of a person in it.
"""

from dataclasses import dataclass

from django.conf import settings

from delivery.greylist import COME_BACK_WITHIN, REMEMBERED
from delivery.retention import COUNTS_DAYS
from delivery.sweeps import KEPT_DAYS
from mail.facts import HELD_DAYS
from mail.srs import VALIDITY
from routing.models import KEPT_IN_TRASH, LogPolicy, TrustPreference
from routing.services.confirmations import LINK_LIVES
from tenants.audit_cut import SHORTEST_DAYS
from tenants.limits import KEPT_SECONDS, KNOWN_DAYS
from tenants.services.invitations import SETTLED_ARE_KEPT


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing that is stored."""

    what: str
    why: str
    until: str
    tables: tuple[str, ...] = ()
    """What holds it."""


def kept_of_mail() -> list[Kept]:
    """What a message leaves behind, with the defaults of a new tenant."""
    return [*_kept_of_content(), *_kept_of_log(), *_kept_of_the_service()]


def _kept_of_content() -> list[Kept]:
    policy = LogPolicy()
    return [
        Kept(
            "The message itself, encrypted, and where it goes",
            "to deliver it, and to try again where a next hop asks for it",
            "an hour after the last recipient is served; failed mail is kept only where the tenant "
            f"chose so (today's default: {_days(policy.content_days)})",
            ("delivery_message", "delivery_content", "delivery_delivery"),
        ),
        Kept(
            "Mail that a tenant's policy holds in quarantine, encrypted",
            "so that somebody can look at it, and release or delete it",
            f"{_days(TrustPreference().quarantine_days)} by default; each tenant chooses",
            ("delivery_delivery",),
        ),
        Kept(
            "Mail for a route that is paused to hold it, encrypted",
            "to deliver it when the route is on again",
            _days(HELD_DAYS),
            ("delivery_delivery",),
        ),
        Kept(
            "Reverse-paths too long for a return address, encrypted under a key that only the "
            "return address holds",
            "so that what comes back finds its author",
            _days(VALIDITY.days),
            ("delivery_opaquepath",),
        ),
    ]


def _kept_of_log() -> list[Kept]:
    policy = LogPolicy()
    return [
        Kept(
            "Addresses, times, sizes and replies of accepted and delivered mail",
            "to answer “where is my message?”",
            f"{_days(policy.message_days)} by default; each tenant chooses",
            ("messagelog_loggedmessage", "messagelog_loggedname", "delivery_deliveryevent"),
        ),
        Kept(
            "Every attempt with the next hop's reply",
            "to show why mail waits",
            f"{_days(policy.attempt_days)} by default; each tenant chooses",
            ("messagelog_loggedevent",),
        ),
        Kept(
            "Refusals: who asked for which address, and why the answer was no",
            "to show wrongly refused mail",
            f"{_days(policy.refused_days)} by default; each tenant chooses",
            ("messagelog_loggedmessage", "messagelog_loggedevent"),
        ),
        Kept(
            "Counts of messages per route and day, without addresses",
            "to see which routes are used",
            _days(COUNTS_DAYS),
            ("messagelog_routeday",),
        ),
        Kept(
            "When mail of a route failed for good, without addresses",
            "to pause a route that fails again and again",
            "1 day",
            ("messagelog_routefailure",),
        ),
    ]


def _kept_of_the_service() -> list[Kept]:
    return [
        Kept(
            "Who was asked to come again (greylisting, where a tenant wants it): network, "
            "reverse-path and recipient, as a keyed digest",
            "to ask nobody twice",
            f"{_days(COME_BACK_WITHIN.days)} for who stays away; for who comes back, "
            f"{_days(REMEMBERED.days)} after his last message",
            ("delivery_greylisting",),
        ),
        Kept(
            "How often networks, tenants and routes had mail in a minute or an hour, as keyed "
            "digests",
            "to slow down floods",
            "a few hours",
            ("delivery_sharedcount",),
        ),
        Kept(
            "How often a client was refused in an hour",
            "to notice attacks",
            _days(KEPT_DAYS["refusal tallies"]),
            ("delivery_refusaltally",),
        ),
        Kept(
            "Which authors were told of failed mail, as keyed digests",
            "to tell nobody twice, or too often",
            _days(KEPT_DAYS["notice tallies"]),
            ("delivery_noticetally",),
        ),
        Kept(
            "How many messages a tenant had each day",
            "to hold the limit of a day",
            _days(KEPT_DAYS["usage"]),
            ("delivery_tenantusage",),
        ),
        Kept(
            "Mail to our own addresses, and returns of no tenant: addresses and times",
            "to run the service",
            _days(KEPT_DAYS["service events"]),
            ("delivery_serviceevent",),
        ),
    ]


def kept_of_people() -> list[Kept]:
    """What is known of those who use the service, and of those they name."""
    return [*_kept_of_accounts(), *_kept_of_tenants()]


def _kept_of_accounts() -> list[Kept]:
    idle, longest = settings.SESSION_IDLE_SECONDS // 3600, settings.SESSION_COOKIE_AGE // 86400
    return [
        Kept(
            "E-mail address, name, a hash of the password; the second factor, encrypted, and "
            "digests of recovery codes",
            "to sign in",
            "until the account is deleted",
            ("tenants_user", "tenants_membership", "tenants_recoverycode", "otp_totp_totpdevice"),
        ),
        Kept(
            "Sessions: browser and network address",
            "to show where you are signed in",
            f"until you sign out, after {idle} hours without use, or {longest} days",
            ("tenants_websession", "django_session"),
        ),
        Kept(
            "How often somebody tried to sign in, as keyed digests",
            "to slow down guessing",
            f"{_days(KEPT_SECONDS // 86400)}; from where you signed in well, {_days(KNOWN_DAYS)}",
            ("tenants_attempttally",),
        ),
    ]


def _kept_of_tenants() -> list[Kept]:
    return [
        Kept(
            "Domains, routes, destinations, lists and keys, with the notes on them",
            "to do what a tenant wants",
            "until a member removes them; routes stay in the trash for "
            f"{_days(KEPT_IN_TRASH.days)}",
            _OF_TENANTS,
        ),
        Kept(
            "Who changed what in a tenant, and from which network address",
            "to answer for changes",
            f"{_days(LogPolicy().audit_days)} by default, "
            f"{_days(SHORTEST_DAYS)} at least; each tenant chooses",
            ("routing_auditentry",),
        ),
        Kept(
            "The same of the whole service: sign-ins, tenants, what support did",
            "to answer for changes",
            "for good; of a deleted tenant, and of a deleted account, without names",
            ("tenants_platformauditentry", "tenants_supportgrant"),
        ),
        Kept(
            "The address of somebody who was invited to a tenant, and who did",
            "so that the link works, and members see who was asked",
            f"{_days(SETTLED_ARE_KEPT.days)} after the mail",
            ("tenants_invitation",),
        ),
        Kept(
            "The address of somebody who was asked whether mail may be forwarded to him",
            "to ask nobody too often; a keyed digest stays so that “not me” holds for good",
            f"the link ends after {int(LINK_LIVES.total_seconds() // 3600)} hours",
            ("routing_destination", "tenants_contactedaddress"),
        ),
    ]


_OF_TENANTS = (
    *("tenants_tenant", "tenants_hostname", "tenants_claimeddomain", "tenants_domaincheck"),
    *("routing_domain", "routing_route", "routing_routedestination", "routing_destination"),
    *("routing_trustpreference", "routing_trustentry", "routing_trustedsealer"),
    *("routing_smtpcredential", "routing_apitoken", "routing_webhook", "routing_suppression"),
    *("routing_dkimkey", "routing_logpolicy"),
)


def _days(days: int) -> str:
    if days == 0:
        return "not stored"
    return "1 day" if days == 1 else f"{days} days"
