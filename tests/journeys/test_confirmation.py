"""From a new route to its first mail: the owner of the destination is asked, and answers by a page."""

from __future__ import annotations

import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request

import pytest

from tests.mail.dkim_engine import verify

pytestmark = [pytest.mark.journey, pytest.mark.slow]


class Browser:
    """A plain HTTP client with cookies, as w3m is one."""

    def __init__(self) -> None:
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(jar)

    def open(self, url: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            with self._opener.open(url, data, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()

    def press(self, url: str) -> str:
        """Press the button of a page; gives the page after it."""
        status, page = self.open(url)
        assert status == 200, page
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert token, page
        status, page = self.open(url, {"csrfmiddlewaretoken": token[1]})
        assert status == 200, page
        return page


def letter_to(service, address: str, count: int = 1):
    def found():
        letters = [one for one in service.caught() if one.forward_path == address]
        return letters if len(letters) >= count else None

    return service.wait_for(found, 30, f"a confirmation mail to {address}")[-1]


def links(letter) -> dict[str, str]:
    text = letter.message.get_content()
    return {url.split("/")[3]: url for url in re.findall(r"http://127\.0\.0\.1:\S+", text)}


def rcpt(service, address: str) -> str:
    with service.smtp() as client:
        client.ehlo()
        client.mail("ada@author.example")
        code, text = client.rcpt(address)
        return f"{code} {text.decode()}"


def test_nothing_flows_before_the_owner_says_so(service):
    service.tenant("lena", "lena.example")
    service.manage("route", "add", "lena", "hi@lena.example", "lena@away.example")
    letter = letter_to(service, "lena@away.example")
    assert letter.reverse_path == ""
    assert "lena.example" not in letter.message.get_content()
    assert letter.octets.count(b"d=mxax.test") == 2
    assert rcpt(service, "hi@lena.example").startswith("450 4.2.1")

    browser = Browser()
    url = links(letter)["confirm"]
    assert "lena.example" in browser.open(url)[1]
    assert rcpt(service, "hi@lena.example").startswith("450 4.2.1"), "opening is not answering"
    assert "mail flows" in browser.press(url)

    service.wait_for(
        lambda: rcpt(service, "hi@lena.example").startswith("250"), 2, "the edge to know it"
    )
    service.send("hi@lena.example", subject="after-the-yes")
    (arrived,) = service.wait_caught("after-the-yes")
    assert arrived.forward_path == "lena@away.example"

    browser.press(links(letter)["stop"])

    service.wait_for(
        lambda: rcpt(service, "hi@lena.example").startswith("450 4.2.1"), 2, "the edge to know it"
    )


def test_not_me_ends_it_for_every_tenant(service):
    service.tenant("mona", "mona.example")
    service.tenant("nora", "nora.example")
    service.manage("route", "add", "mona", "hi@mona.example", "victim@away.example")
    letter = letter_to(service, "victim@away.example")

    Browser().press(links(letter)["not-me"])

    service.manage("route", "add", "nora", "hi@nora.example", "victim@away.example")
    again = service.manage("route", "ask", "mona", "victim@away.example", check=False)
    assert "no confirmation mail was sent" in again
    assert Browser().open(links(letter)["confirm"])[0] == 404
    assert rcpt(service, "hi@nora.example").startswith("450 4.2.1")
    assert len([one for one in service.caught() if one.forward_path == "victim@away.example"]) == 1


def test_the_letter_is_signed_by_the_service_domain(service):
    service.tenant("olga", "olga.example")
    service.manage("route", "add", "olga", "hi@olga.example", "olga@away.example")
    letter = letter_to(service, "olga@away.example")
    records = {
        f"{one['name']}.".encode(): one["value"].encode()
        for one in service.manage_json("service", "records")
        if "_domainkey" in one["name"]
    }

    for index in (0, 1):
        assert verify(letter.octets, lookup=lambda name: records[name], index=index)
