"""How DNS providers want records typed: what differs between them, in words.

Where a provider has changed its pages since, the names of the fields still say what is meant.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider: where its records are, and what goes wrong there."""

    slug: str
    name: str
    where: str
    host: str
    """How the name of a record is typed."""
    root: str
    """How the domain itself is typed."""
    advice: tuple[str, ...]


PROVIDERS: Final = (
    Provider(
        "cloudflare",
        "Cloudflare",
        "Your domain, then DNS, then Records, then “Add record”.",
        "only the part before your domain",
        "@",
        (
            "Mail records are never proxied: where a switch says “Proxied”, turn it to “DNS only”.",
            "Quotation marks around TXT values are added for you; values may be pasted whole.",
            "“Email Routing” of Cloudflare publishes MX records of its own: disable it first.",
        ),
    ),
    Provider(
        "gandi",
        "Gandi",
        "Domain, your domain, then “DNS Records”.",
        "only the part before your domain",
        "@",
        (
            "A new domain has MX and SPF records for Gandi's own mail: remove the MX records.",
            "The name a record points to ends with a dot.",
        ),
    ),
    Provider(
        "godaddy",
        "GoDaddy",
        "My Products, your domain, then “DNS”.",
        "only the part before your domain",
        "@",
        (
            "A DMARC record may be there already with “p=quarantine” and GoDaddy's address: keep "
            "one record and edit it.",
            "Priority and value of an MX record are two fields.",
        ),
    ),
    Provider(
        "hetzner",
        "Hetzner",
        "DNS, your zone, then “Add record”.",
        "only the part before your domain",
        "@",
        (
            "The name a record points to ends with a dot, or your domain is added to it.",
            "TXT values are typed with quotation marks in the editor of whole zones, without in "
            "the form.",
        ),
    ),
    Provider(
        "ionos",
        "IONOS",
        "Domains & SSL, your domain, then “DNS”.",
        "only the part before your domain",
        "@",
        (
            "Mail records of IONOS (“mx00”, “mx01”) have to be removed.",
            "Changes may take an hour to be seen.",
        ),
    ),
    Provider(
        "namecheap",
        "Namecheap",
        "Domain List, “Manage”, then “Advanced DNS”.",
        "only the part before your domain",
        "@",
        (
            "MX records are in a section of their own: choose “Custom MX” under “Mail Settings”.",
            "A name typed with your domain in it gets your domain twice.",
        ),
    ),
    Provider(
        "ovh",
        "OVHcloud",
        "Web Cloud, Domain names, your domain, then “DNS zone”.",
        "only the part before your domain",
        "left empty",
        (
            "The name a record points to ends with a dot.",
            "Use the type “TXT” for SPF, DKIM and DMARC, not the assistants of the same names.",
        ),
    ),
    Provider(
        "route53",
        "Amazon Route 53",
        "Hosted zones, your domain, then “Create record”.",
        "only the part before your domain",
        "left empty",
        (
            "TXT values need quotation marks, and pieces of at most 255 characters: use the value "
            "split into pieces.",
            "Priority and name of an MX record are one value: “10 mx.example.”.",
            "Several TXT values at one name belong into one record, one a line.",
        ),
    ),
    Provider(
        "bind",
        "BIND, NSD, Knot and PowerDNS",
        "The zone file; your domain's page offers a snippet as a download.",
        "the part before your domain, or the whole name with a dot at its end",
        "@",
        (
            "Raise the serial number of the zone.",
            "A string holds at most 255 octets: long TXT values are several strings in one record.",
        ),
    ),
)
BY_SLUG: Final = {provider.slug: provider for provider in PROVIDERS}
