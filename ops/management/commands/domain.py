"""`manage.py domain`: a tenant's domains, their proofs and what they must publish."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from mail.address import unicode_domain
from ops.console import VerbCommand, add_json_flag, add_verbs
from ops.records import domain_records, zone_lines
from routing.services import add_domain, check_domain, remove_domain
from routing.services.domains import domain_label
from tenants.claims import challenge_name, challenge_text
from tenants.errors import NotConfirmed
from tenants.models import ClaimedDomain
from tenants.proof import ProofSeen
from tenants.selectors import claim_lines, claim_of, lookalikes_of, tenant_of

COLUMNS = ("tenant", "name", "standing", "proof", "verified_at", "checked_at", "last_result")


class Command(VerbCommand):
    help = "Adds, lists, checks and removes a tenant's domains."
    noun = "domain"

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = add_verbs(parser)
        add = verbs.add_parser("add", help="claim a domain for a tenant")
        add.add_argument("slug")
        add.add_argument("name")
        add.add_argument(
            "--verified", action="store_true", help="your word instead of the DNS proof (audited)"
        )
        add_json_flag(add)
        listing = verbs.add_parser("list", help="the domains of a tenant, or all")
        listing.add_argument("slug", nargs="?")
        add_json_flag(listing)
        for verb, what in (
            ("check", "look for the proof now"),
            ("records", "what the domain must publish"),
        ):
            one = verbs.add_parser(verb, help=what)
            one.add_argument("slug")
            one.add_argument("name")
            add_json_flag(one)
        remove = verbs.add_parser("remove", help="take a domain and its routes away")
        remove.add_argument("slug")
        remove.add_argument("name")
        remove.add_argument("--yes", metavar="NAME", help="the name again, where routes go with it")

    def do_add(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        claim = add_domain(
            tenant=tenant,
            name=options["name"],
            by_operator=options["verified"],
            actor=self.actor(options),
        )
        twins = lookalikes_of(claim)
        if options["json"]:
            self.say_json({**_as_json(claim), "looks_like": twins})
            return
        if twins:
            self.say(f"Warning: it looks like {', '.join(map(_shown, twins))}, of another tenant.")
        if claim.state == ClaimedDomain.State.VERIFIED:
            self.say(f"{_shown(claim.name)} is verified for {tenant.slug}, by your word.")
        else:
            self.say(
                f"{_shown(claim.name)} is claimed for {tenant.slug}. To prove it, publish "
                f'{challenge_name(claim.name)}. TXT "{challenge_text(claim.token)}", then '
                f"run manage.py domain check {tenant.slug} {claim.name}."
            )

    def do_list(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"]) if options["slug"] else None
        empty = "No domains yet: manage.py domain add SLUG NAME."
        self.say_lines(options, claim_lines(tenant), COLUMNS, empty)

    def do_check(self, options: dict[str, Any]) -> None:
        tenant, name = tenant_of(options["slug"]), domain_label(options["name"])
        claim, check = check_domain(tenant=tenant, name=name, actor=self.actor(options))
        if options["json"]:
            self.say_json({**_as_json(claim), "seen": check.seen.value, "detail": check.detail})
            return
        self.say(f"{_shown(name)} is {claim.state}. {check.detail}")
        if check.seen is ProofSeen.MISSING and claim.proof != ClaimedDomain.Proof.OPERATOR:
            self.say(f'Publish {challenge_name(name)}. TXT "{challenge_text(claim.token)}"')

    def do_records(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        claim = claim_of(tenant, domain_label(options["name"]))
        records = domain_records(claim, settings.ENV)
        if options["json"]:
            self.say_json(records)
        else:
            for line in zone_lines(records):
                self.say(line)

    def do_remove(self, options: dict[str, Any]) -> None:
        tenant, name = tenant_of(options["slug"]), domain_label(options["name"])
        claim_of(tenant, name)
        if options["yes"] is not None and domain_label(options["yes"]) != name:
            raise NotConfirmed(f"Nothing was removed: --yes has another name than {name}.")
        remove_domain(tenant=tenant, name=name, actor=self.actor(options))
        self.say(f"{_shown(name)} is removed from {tenant.slug}: mail for it has stopped.")


def _as_json(claim: ClaimedDomain) -> dict[str, Any]:
    return {
        "name": claim.name,
        "tenant": claim.tenant.slug,
        "state": claim.state,
        "proof": claim.proof,
        "challenge": {"name": challenge_name(claim.name), "text": challenge_text(claim.token)},
    }


def _shown(name: str) -> str:
    """The name as people read it, with its A-label where that differs."""
    shown = unicode_domain(name)
    return name if shown == name else f"{shown} ({name})"
