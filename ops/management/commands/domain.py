"""`manage.py domain`: a tenant's domains, their proofs and what they must publish."""

from typing import Any

from django.core.management.base import CommandParser

from mail.address import unicode_domain
from ops.console import VerbCommand, add_json_flag, add_verbs, cell, table
from routing.domain_facts import facts_of
from routing.records.report import Row, latest
from routing.records.texts import zone_line
from routing.records.values import Verdict
from routing.services import add_domain, remove_domain
from routing.services.checks import check_now
from routing.services.domains import domain_label
from tenants.claims import challenge_name, challenge_text
from tenants.context import public_schema
from tenants.errors import NotConfirmed
from tenants.models import ClaimedDomain, DomainCheck
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
            ("check", "look at the proof and every other record now"),
            ("records", "what the domain must publish"),
        ):
            one = verbs.add_parser(verb, help=what)
            one.add_argument("slug")
            one.add_argument("name")
            add_json_flag(one)
        remove = verbs.add_parser("remove", help="take a domain and its routes away")
        remove.add_argument("slug")
        remove.add_argument("name")
        remove.add_argument("--yes", metavar="NAME", help="the name again, to be sure")

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
        found = check_now(tenant=tenant, name=name, actor=self.actor(options), is_limited=False)
        claim, proof = found.claim, found.proof
        if options["json"]:
            seen = {"seen": proof.seen.value, "detail": proof.detail, "refusal": found.refusal}
            self.say_json({**_as_json(claim), **seen, "records": found.rows})
            return
        self.say(f"{_shown(name)} is {claim.state}. {found.refusal or proof.detail}")
        if proof.seen is ProofSeen.MISSING and claim.proof != ClaimedDomain.Proof.OPERATOR:
            self.say(f'Publish {challenge_name(name)}. TXT "{challenge_text(claim.token)}"')
        rows = [(row.kind.value, cell(row.verdict), row.text) for row in found.rows]
        for line in table(("record", "verdict", "what is there"), rows):
            self.say(line)

    def do_records(self, options: dict[str, Any]) -> None:
        tenant = tenant_of(options["slug"])
        claim = claim_of(tenant, domain_label(options["name"]))
        with public_schema():
            check = DomainCheck.objects.filter(claim=claim).first()
        rows = latest(facts_of(claim), check.report if check else ())
        if options["json"]:
            self.say_json(rows)
            return
        for row in rows:
            for line in _zone_lines(row):
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


def _zone_lines(row: Row) -> list[str]:
    """The record under what was last seen of it; only a comment where it is not to be published."""
    seen = f"{row.verdict}: {row.text}" if row.verdict else "not looked at yet"
    lines = [f"; {row.need}: {row.why}", f"; {seen}"]
    if row.publish:
        return [*lines, zone_line(row.name, row.type, row.publish)]
    if row.verdict in (Verdict.RIGHT, Verdict.NOT_YET) and row.is_only_ours:
        return [*lines, f";{zone_line(row.name, row.type, row.value)}"]
    return lines
