"""The suite of the package email-validator: what it takes and what we take, panel and SMTP (F5).

The cases stand in tests/fixtures/email_validator, those of is_email among them: the test of the
suite, the address, whether some option of the package takes it, and the package's word on it. What
we decide otherwise stands in DIFFERENT with the reason, and nothing else may differ.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError

from mail.address import parse_address, parse_path, parse_reverse_path
from mail.errors import BadAddress
from panel.routes.forms import DestinationsField, TryForm
from routing.names import parse_destination
from smtp_edge import metrics
from smtp_edge.limits import Limits
from tenants.errors import DestinationRefused
from tests.smtp_edge.listening import World, hosted, listening, route

SUITE = Path(__file__).parents[1] / "fixtures" / "email_validator" / "cases.json"
CASES: dict[str, bool] = {address: taken for _, address, taken, _ in json.loads(SUITE.read_text())}

# What the suite takes and we refuse, and the other way round.
DIFFERENT: dict[str, tuple[str, ...]] = {
    "an address literal is no domain: it cannot be claimed and nothing is relayed to it": (
        "me@[127.0.0.1]", "me@[IPv6:::1]", "me@[ipv6:::1]", "me@[IPV6:::1]",
        "me@[IPv6:0000:0000:0000:0000:0000:0000:0000:0001]", "me@[IPv6:::ffff:1.2.3.4]",
        "test@[255.255.255.255]", "test@[IPv6:1111:2222:3333:4444:5555:6666:7777:8888]",
        "test@[IPv6:1111:2222:3333:4444:5555:6666::8888]", "test@[IPv6:::]",
        "test@[IPv6:1111:2222:3333:4444:5555::8888]",
        "test@[IPv6:::3333:4444:5555:6666:7777:8888]",
        "test@[IPv6:1111:2222:3333:4444:5555:6666:255.255.255.255]",
        "test@[IPv6:1111:2222:3333:4444::255.255.255.255]",
    ),
    "an address is asked for, and no name before it": (
        "MyName <me@example.org>", "My Name <me@example.org>",
        '"My.\\"Na\\\\me\\".Is" <"me \\" \\\\ me"@example.org>',
        '"s\u0323\u0307" <s\u0323\u0307@nfc.tld>',
    ),
    "a domain that takes mail of strangers has a dot": (
        "anything@test", "POSTMASTER@test", "NOT-POSTMASTER@test", "λambdaツ@test",
    ),
    "the local part is empty": ("@test", '""@test'),
    "the last dot of a domain says that it is absolute, and is taken off": (
        "my@trailingdot.com.", "my@trailingfwdot.com．", "test@iana.org.",
    ),
    "which names exist below the root, and which take mail, is the word of the DNS": (
        "me@bad.tld-2", "me@anything.arpa", "me@valid.invalid", "me@link.local",
        "me@host.localhost", "me@onion.onion.onion", "me@test.test.test",
    ),
    "names with hyphens in third and fourth place are registered and take mail": (
        "me@yy--0.tld", "me@yy－－0.tld",
    ),
    "what is counted is what is sent: composed, and without a backslash that nothing needs": (
        "my.s\u0323\u0307.address@1111111111222222222233333333334444444444555555555."
        "6666666666777777777788888888889999999999000000000."
        "1111111111222222222233333333334444444444555555555."
        "6666666666777777777788888888889999999999000000000.1111111111222222222233333333334444.info",
        '"abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz abcdefg\\h"@iana.org',
    ),
}  # fmt: skip
OTHERWISE = {address for addresses in DIFFERENT.values() for address in addresses}
# The only ones that the panel takes and RCPT does not, as they stand.
SPACES_AROUND = {" test@iana.org", "test@iana.org "}
"""Who types or pastes an address means none of them."""
ROUTING_SIGNS = {
    "!#$%&'*+-/=?^_`.{|}~@example.tld",
    "!#$%&`*+/=?^`{|}~@iana.org",
    '"quoted.with.at@"@example.com',
}
"""`%`, `!` and `@` in a local part once asked for relaying: RCPT wants a route that names it."""


class EveryDomain(World):
    """Hosts each name that somebody may claim, with a route for all of its addresses."""

    pattern = "*"

    async def get(self, name: str):
        found = hosted(name, route(1, self.pattern, "friend@there.example"))
        return found if "." in name else None


@pytest.fixture(scope="module")
def mx():
    with listening(EveryDomain(), limits=Limits(client_connections=1000)) as mx:
        yield mx


def smtp_takes(mx, address: str) -> bool:
    """Whether RCPT says 250, in a session of its own."""
    client = mx.connect()
    client.say("MAIL FROM:<bob@sender.example> SMTPUTF8")
    client.send(f"RCPT TO:<{address}>\r\nQUIT\r\n".encode(errors="surrogatepass"))
    said: list[str] = []
    while not said or not said[-1].startswith("221"):
        said.append(client.reply())
    client.close()
    return any(reply.startswith("250") for reply in said)


def panel_takes(address: str) -> bool:
    """Whether it can be a destination."""
    try:
        parse_destination(address)
    except DestinationRefused:
        return False
    return True


def test_the_suite_is_whole():
    assert len(CASES) == 317
    assert sum(CASES.values()) == 77
    assert CASES.keys() >= OTHERWISE | SPACES_AROUND | ROUTING_SIGNS


@pytest.mark.parametrize("address", CASES, ids=ascii)
def test_panel_and_smtp_decide_alike_and_as_the_suite_does_or_we_know_why(mx, address):
    expected = CASES[address] is not (address in OTHERWISE)

    assert panel_takes(address) is (expected or address in SPACES_AROUND)
    assert smtp_takes(mx, address) is (expected and address not in ROUTING_SIGNS)


@pytest.mark.parametrize(
    "address", ['"quoted.with.at@"@example.com', "50%@example.com", "a!b@example.com"]
)
def test_a_route_that_names_an_address_with_routing_signs_takes_it(address):
    world = EveryDomain()
    world.pattern = address.rpartition("@")[0]
    with listening(world) as mx:
        assert smtp_takes(mx, address)


@pytest.mark.parametrize("address", CASES, ids=ascii)
def test_no_way_in_breaks_and_all_fields_of_the_panel_say_the_same(address):
    for parse in (parse_address, parse_path, parse_reverse_path):
        try:
            parse(address)
        except BadAddress as error:
            assert str(error).isascii()  # noqa: PT017 - our words, none of the stranger's
    if {"\r", "\n"} & {*address}:
        return  # the field has a line for each address
    try:
        found = DestinationsField().clean(address)
    except ValidationError:
        found = []
    assert bool(found) is panel_takes(address)
    asked = TryForm({"address": address}).fields["address"]
    try:
        asked.clean(address)
    except ValidationError:
        assert not panel_takes(address)


def test_what_is_taken_is_kept_in_one_form_that_is_taken_again():
    taken = [parse_destination(address) for address in CASES if panel_takes(address)]

    assert len(taken) > 60
    assert [parse_destination(one) for one in taken] == taken
    assert all(unicodedata.is_normalized("NFC", one) for one in taken)
    assert metrics.EXCEPTIONS._value.get() == 0
