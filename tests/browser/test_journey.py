"""The whole way of a new customer, without JavaScript: once in chromium, once in w3m.

From the invitation in the mail to a message that arrived, and to the audit that tells of it all.
"""

from __future__ import annotations

import base64
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from django_otp.oath import totp
from dnslib import MX

from tests.browser import chromium
from tests.browser.readers import Chromium, Reader, Terminal
from tests.cast import PASSWORD
from tests.installation import Installation, installed
from tests.routing.zone import Zone, served

pytestmark = [
    *(pytest.mark.journey, pytest.mark.slow, pytest.mark.needs_debian),
    pytest.mark.timeout(1200),  # a hundred pages and more, on a machine that may be busy
]

ROLE = "owner"


@pytest.fixture(scope="module")
def dns():
    with served(Zone()) as zone:
        yield zone


@pytest.fixture(scope="module")
def service(tmp_path_factory, dns):
    extra = {
        "MXAX_DNS_SERVERS": f"127.0.0.1:{dns.port}",
        "MXAX_AUTHORITATIVE_PORT": str(dns.port),
    }
    with installed(tmp_path_factory.mktemp("journey"), **extra) as running:
        yield running


class Customer:
    """Somebody who was invited: what he sees, and what only he knows."""

    def __init__(self, service: Installation, dns: Zone, name: str, reader: Reader) -> None:
        self.service, self.dns, self.reader, self.name = service, dns, reader, name
        self.email = f"{name}@mailbox.example"
        self.domain = f"{name}.example"
        self.friend = f"friend-of-{name}@far.example"
        self.secret = b""
        self.pages = 0

    def sees(self, *words: str) -> str:
        """The page, which says all of this; a picture is taken of it."""
        text = self.reader.text()
        for word in words:
            assert word in text, f"{word!r} is not in:\n{text}"
        self.pages += 1
        self.reader.picture(f"{self.pages:02d}-{re.sub('[^a-z]+', '-', words[0].lower())}")
        return text

    def at(self, section: str) -> None:
        self.reader.open(f"/t/{self.name}/{section}")

    def letter(self, address: str, kind: str) -> str:
        """The path of the link of this kind in the last mail to an address."""

        def found() -> str | None:
            for one in reversed(self.service.caught()):
                if one.forward_path == address:
                    text = one.message.get_content()
                    if link := re.search(rf"http://127\.0\.0\.1:\d+(/{kind}/\S+)", text):
                        return link[1]
            return None

        return str(self.service.wait_for(found, 60, f"a mail with /{kind}/ to {address}"))

    def code(self, drift: int) -> str:
        return f"{totp(self.secret, drift=drift):06d}"

    def signs_in(self, email: str) -> None:
        self.reader.open("/sign-in/")
        self.reader.fill("E-mail address", email)
        self.reader.fill("Password", PASSWORD)
        self.reader.press("Sign in")

    # --- the way

    def is_invited(self) -> None:
        owner = f"founder@{self.name}-founder.example"
        self.service.manage(
            "tenant", "create", self.name, "--owner", owner, "--password-stdin", stdin=PASSWORD
        )
        self.signs_in(owner)
        self.sees("First steps", "Add a domain")
        self.at("people/invite/")
        self.reader.fill("E-mail address", self.email)
        self.reader.choose(ROLE)
        self.reader.press("Invite")
        self.sees("A mail with a link is on its way", self.email)
        self.reader.press("Sign out")

    def makes_an_account(self) -> None:
        self.reader.open(self.letter(self.email, "invitation"))
        self.sees(f"You are invited to {self.name}", self.email, ROLE)
        self.reader.fill("Password", PASSWORD)
        self.reader.press("Make the account and accept")
        self.sees("is ready. Sign in to begin")
        self.signs_in(self.email)
        self.sees("First steps")

    def sets_up_a_second_factor(self) -> None:
        self.reader.open("/account/second-factor/")
        self.reader.press("Set up a second factor")
        self.reader.unfold("Cannot scan it? Type this instead")
        shown = self.sees("Scan this with your authenticator", "Type the code that it shows")
        found = re.search(r"\b((?:[A-Z2-7]{4} ){3,}[A-Z2-7]{1,4})\b", shown)
        assert found, shown
        printed = found[1].replace(" ", "")
        self.secret = base64.b32decode(printed + "=" * (-len(printed) % 8))
        self.reader.fill("Code", self.code(-1))
        self.reader.press("Turn it on")
        self.sees("Keep these now")
        self.reader.follow("I have kept them")
        self.sees("Second factor", "on")
        self.reader.press("Sign out")

    def signs_in_with_a_code(self) -> None:
        self.signs_in(self.email)
        self.sees("One step more: your code")
        self.reader.fill("Code", "000000")
        self.reader.press("Go on")
        self.sees("This code is not right")
        time.sleep(1.1)  # after a wrong code none counts for a second
        self.reader.fill("Code", self.code(0))
        self.reader.press("Go on")
        self.sees("First steps")

    def adds_a_domain(self) -> None:
        self.reader.follow("Domains")
        self.sees("No domains yet")
        self.reader.follow("Add a domain")
        self.reader.fill("Domain", "not a domain")
        self.reader.press("Go on")
        self.sees("Something is not right yet", "not a mail domain")
        assert self.reader.has_kept("Domain", "not a domain")
        self.reader.fill("Domain", self.domain)
        self.reader.press("Go on")
        text = self.sees(f"Records of {self.domain}", "mxax-verify=", "Incoming mail (MX)")
        self._publish(text)
        self.reader.press("I have published them: look now")
        self.sees(f"{self.domain}, checked", "right", "missing")

    def _publish(self, text: str) -> None:
        """What the page says, typed at the provider's."""
        proof = re.search(r"mxax-verify=\S+", text)
        host = re.search(r"in one field: (\d+) (\S+)\.\s", text)
        assert proof, text
        assert host, text
        self.dns.publish(f"_mxax-challenge.{self.domain}", proof[0])
        self.dns.records[(f"{self.domain}.", "MX")] = [MX(host[2], int(host[1]))]

    def adds_a_route(self) -> None:
        self.at("routes/")
        self.sees("No routes yet")
        self.reader.follow("Add the first route")
        self.reader.fill("Address", f"hi@{self.domain}")
        self.reader.fill("Goes to", "nobody\n")
        self.reader.press("Add the route")
        self.sees("Something is not right yet", "Line 1")
        assert self.reader.has_kept("Goes to", "nobody")
        self.reader.fill("Goes to", f"{self.friend}\n")
        self.reader.press("Add the route")
        self.sees(f"Route hi@{self.domain} is there", "not confirmed", self.friend)

    def the_friend_agrees(self) -> None:
        self.reader.open(self.letter(self.friend, "confirm"))
        self.sees("May mail be forwarded to you?", self.domain)
        self.reader.press("Yes, forward it to me")
        self.sees("mail flows")
        self.at("routes/")
        self.reader.follow(f"hi@{self.domain}")
        self.sees(f"hi@{self.domain}", "yes")

    def gets_mail(self) -> None:
        address, subject = f"hi@{self.domain}", f"tea-with-{self.name}"
        self.service.wait_for(lambda: self._is_taken(address), 60, "the edge to know the route")
        trace = self.service.send(address, subject=subject)
        (caught,) = self.service.wait_caught(subject)
        assert caught.forward_path == self.friend
        self._waits_for("delivered", f"messages/{trace}/")
        self.sees("delivered", trace, "received", "accepted", self.friend, "250")
        self._waits_for(address, "messages/")  # the log is written within seconds
        self.reader.fill("Address, domain or trace id", trace)
        self.reader.press("Search")
        self.sees("Messages", address, "delivered")

    def _waits_for(self, word: str, section: str) -> None:
        deadline = time.monotonic() + 30
        self.at(section)
        while word not in self.reader.text() and time.monotonic() < deadline:
            time.sleep(0.3)
            self.at(section)

    def _is_taken(self, address: str) -> bool:
        with self.service.smtp() as client:
            client.ehlo()
            client.mail("ada@author.example")
            return bool(client.rcpt(address)[0] == 250)

    def keeps_less(self) -> None:
        self.at("logging/")
        self.sees("Logging preferences", "30 days")
        self.reader.follow("Change")
        self.reader.fill("Refused mail: days", "7")
        self.reader.press("See what it changes")
        self.sees("Nothing is saved yet", "7 days")
        self.reader.press("Save")
        self.sees("Logging preferences", "7 days")

    def reads_the_audit(self) -> None:
        self.at("audit/")
        self.sees(
            "Audit",
            f"domain added: {self.domain}",
            f"domain proved: {self.domain}",
            f"route added: hi@{self.domain}",
            f"destination confirmed: {self.friend}",
            "logging preferences changed",
            self.email,
        )

    def goes_the_whole_way(self) -> None:
        self.is_invited()
        self.makes_an_account()
        self.sets_up_a_second_factor()
        self.signs_in_with_a_code()
        self.adds_a_domain()
        self.adds_a_route()
        self.the_friend_agrees()
        self.gets_mail()
        self.keeps_less()
        self.reads_the_audit()


def site(service: Installation) -> str:
    return f"http://127.0.0.1:{service.ports['WEB']}"


def test_the_whole_way_in_chromium_without_javascript(service, dns, tmp_path):
    folder = Path(os.environ.get("TEST_PICTURES") or tmp_path) / "journey"
    with chromium.browser() as browser:
        reader: Any = Chromium(browser, site(service), folder)
        carla = Customer(service, dns, "carla", reader)
        carla.goes_the_whole_way()
        reader.close()

    assert carla.pages > 20
    assert all(url.startswith(site(service)) for url in reader.asked), set(reader.asked)


def test_the_whole_way_in_w3m(service, dns, tmp_path):
    reader = Terminal(site(service), tmp_path)
    try:
        Customer(service, dns, "wanda", reader).goes_the_whole_way()
    finally:
        reader.close()
