"""A domain from its name to its mail and to its end, on pages that no script runs on."""

from __future__ import annotations

import html
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from routing.models import AuditEntry, DkimKey, Domain
from tenants.claims import challenge_text
from tenants.context import tenant_schema
from tenants.models import ClaimedDomain, DomainCheck
from tests.panel.markup import faults
from tests.routing.test_confirmations import nobody_rings  # noqa: F401

pytestmark = pytest.mark.django_db
NAME = "acme.example"
OURS = "10 mxax.test"


def shows(client, url, *, queries=12) -> str:
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(url)
    assert answer.status_code == 200, url
    text = answer.content.decode()
    assert faults(text) == []
    assert len(asked) <= queries, "\n".join(one["sql"] for one in asked)
    return plain(text)


def plain(text: str) -> str:
    """As read: without tags, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def posts(client, url, **values) -> str:
    """Send a form; it is answered by a redirect, whose page is read."""
    answer = client.post(url, values)
    assert answer.status_code == 303, plain(answer.content.decode())
    return plain(client.get(answer["Location"]).content.decode())


def refused(client, url, **values) -> str:
    answer = client.post(url, values)
    assert answer.status_code == 422
    assert "<title>Error:" in answer.content.decode()
    return plain(answer.content.decode())


def claim() -> ClaimedDomain:
    return ClaimedDomain.objects.get()


def allow_again():
    DomainCheck.objects.update(asked_at=None)


def test_three_plain_pages_from_the_name_to_a_working_domain(ada, dns):
    browser = ada.client()

    assert "No domains yet" in shows(browser, ada.url("domains"))
    second = posts(browser, ada.url("domain-add"), name=" BÜCHER.example. ")
    name = claim().name
    assert name == "xn--bcher-kva.example"
    assert "bücher.example is added" in second
    assert f"_mxax-challenge.{name}" in second
    assert challenge_text(claim().token) in second
    assert "10 mxax.test." in second
    shows(browser, ada.url("domain-records", name))

    third = posts(browser, ada.url("domain-check", name))
    assert "waiting for proof" in third
    assert third.count("missing") >= 2

    dns.publish(f"_mxax-challenge.{name}", "TXT", challenge_text(claim().token))
    dns.publish(name, "MX", OURS)
    allow_again()
    third = posts(browser, ada.url("domain-check", name))
    assert "The domain is yours, and its mail comes to us." in third
    assert "Now say where its mail goes" in third
    shows(browser, ada.url("domain-checked", name))
    assert "bücher.example working" in shows(browser, ada.url("domains"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "Fill this in."),
        ("localhost", "public suffix|has a dot"),
        ("co.uk", "public suffix"),
        ("mxax.test", "service itself"),
        ("a b.example", "not a mail domain"),
        ("exa\u2028mple.org", "not a mail domain"),
        ("x" * 400, "At most"),
        ("<script>alert(1)</script>.example", "not a mail domain"),
    ],
)
def test_a_name_that_cannot_be_is_refused_at_the_field_and_kept(ada, name, says):
    browser = ada.client()

    answer = browser.post(ada.url("domain-add"), {"name": name})

    assert answer.status_code == 422
    text = answer.content.decode()
    assert re.search(says, text), plain(text)
    assert "<script>" not in text
    assert html.escape(name.strip()).replace("&#x27;", "&#39;")[:50] in text
    assert not ClaimedDomain.objects.exists()


def test_the_same_domain_twice_is_refused(ada):
    ada.has_domain(NAME)

    assert "one of your domains already" in refused(ada.client(), ada.url("domain-add"), name=NAME)


def test_a_name_that_looks_like_anothers_is_told(ada, mallory):
    ada.has_domain("paypal.example")

    text = posts(mallory.client(), mallory.url("domain-add"), name="paypa1.example")

    assert "looks like paypal.example" in text


def test_what_is_wrong_with_each_record_is_said_in_words(ada, dns):
    ada.has_domain(NAME, verified=False)
    dns.publish(f"_mxax-challenge.{NAME}", "TXT", f'"{challenge_text(claim().token)}"')
    dns.publish(NAME, "MX", "5 mx.old.example", "10 mxax.test")
    dns.publish(NAME, "TXT", "v=spf1 mx -all", "v=spf1 a -all")
    dns.publish(f"_dmarc.{NAME}", "TXT", "v=DMARC1; p=reject")
    browser = ada.client()
    posts(browser, ada.url("domain-check", NAME))

    text = shows(browser, ada.url("domain", NAME))

    assert "spaces or quotation marks around it" in text
    assert "mail goes to mx.old.example (5) too, and never reaches your routes" in text
    assert "There are 2 SPF records" in text
    assert "The policy is reject; leave it." in text
    assert "v=DMARC1; p=none" not in text


def test_what_strangers_publish_is_text(ada, dns):
    ada.has_domain(NAME)
    nasty = "<script>alert(1)</script>\u202e\x00\n"
    dns.publish(f"_dmarc.{NAME}", "TXT", nasty, f"v=DMARC1; rua={nasty}", f"v=DMARC1; p={nasty}")
    dns.publish(NAME, "TXT", f"v=spf1 {nasty} -all", f"v=spf1 include:{nasty} -all")
    dns.publish(NAME, "MX", f"10 {nasty}")
    browser = ada.client()
    posts(browser, ada.url("domain-check", NAME))

    answer = browser.get(ada.url("domain", NAME)).content.decode()

    assert "<script" not in answer
    assert "\u202e" not in answer
    assert "\x00" not in answer


def test_the_button_works_once_a_minute_and_says_when(ada, dns):
    ada.has_domain(NAME)
    browser = ada.client()
    posts(browser, ada.url("domain-check", NAME))
    dns.asked.clear()

    text = posts(browser, ada.url("domain-check", NAME))

    assert "less than a minute ago. You can ask again from" in text
    assert dns.asked == []


def test_no_page_asks_the_dns(ada, dns):
    ada.has_domain(NAME)
    browser = ada.client()

    for page in ("domain", "domain-records", "domain-checked", "domain-keys", "domain-zone"):
        browser.get(ada.url(page, NAME))
    assert browser.get(ada.url("domain-check", NAME)).status_code == 405

    assert dns.asked == []


def test_the_zone_file_is_a_download_that_a_name_server_reads(ada, dns):
    from dnslib import RR

    ada.has_domain(NAME, verified=False)
    dns.publish(f"_dmarc.{NAME}", "TXT", "v=DMARC1; p=reject")
    browser = ada.client()
    posts(browser, ada.url("domain-check", NAME))

    answer = browser.get(ada.url("domain-zone", NAME))

    assert answer["Content-Type"].startswith("text/plain")
    assert f'filename="{NAME}.zone.txt"' in answer["Content-Disposition"]
    records = {(str(one.rname), one.rtype) for one in RR.fromZone(answer.content.decode())}
    assert records == {(f"_mxax-challenge.{NAME}.", 16), (f"{NAME}.", 15)}


def test_a_long_list_is_searched_filtered_and_paged(ada):
    from routing.services import add_domain

    for number in range(53):
        add_domain(tenant=ada.tenant, name=f"d{number:02}.example", actor="t", by_operator=True)
    ada.has_domain("bücher.example", verified=False)
    with tenant_schema(ada.tenant.pk):
        Domain.objects.filter(name="d07.example").update(note="Grandmother's")
    browser = ada.client()

    first = browser.get(ada.url("domains"))
    assert len(first.content) < 60_000
    assert first.content.decode().count("/domains/d") == 50 - 0
    after = re.search(r'rel="next" href="(\?[^"]+)"', first.content.decode())[1]
    rest = shows(browser, ada.url("domains") + html.unescape(after))
    assert "d52.example" in rest
    assert "bücher.example" in rest
    assert "d49.example" not in rest
    for query, found in (("q=büch", "bücher.example"), ("q=GRANDM", "d07.example")):
        text = shows(browser, f"{ada.url('domains')}?{query}")
        assert found in text
        assert "d08.example" not in text
    assert "d08" not in shows(browser, ada.url("domains") + "?state=waiting")
    assert "No domain is like that" in shows(browser, ada.url("domains") + "?q=zzz&state=working")


def test_a_note_is_kept_and_a_concurrent_one_is_noticed(ada, dns):
    ada.has_domain(NAME)
    browser = ada.client()
    url = ada.url("domain-note", NAME)
    version = re.search(r'name="version" value="(\w+)"', browser.get(url).content.decode())[1]

    assert "a line" in posts(browser, url, note="a line", version=version)
    text = refused(browser, url, note="another", version=version)
    assert "Somebody changed this" in text
    assert "a line" in text

    with tenant_schema(ada.tenant.pk):
        assert Domain.objects.get().note == "a line"
        entry = AuditEntry.objects.get(action="domain.note_changed")
    assert (entry.actor, entry.new) == (ada.email, {"note": "a line"})


def test_removal_says_what_stops_and_wants_the_name(ada, dns):
    ada.has_domain("bücher.example")
    ada.has_route("hi@bücher.example", "friend@far.example")
    name = claim().name
    browser = ada.client()

    text = shows(browser, ada.url("domain-remove", name))
    assert "1 route goes with it" in text
    refused(browser, ada.url("domain-remove", name), typed="other.example")
    assert ClaimedDomain.objects.exists()

    assert "is removed" in posts(browser, ada.url("domain-remove", name), typed="BÜCHER.example")
    assert not ClaimedDomain.objects.exists()
    assert browser.get(ada.url("domain", name)).status_code == 404


def test_removal_and_keys_want_a_fresh_proof_of_who_asks(ada):
    ada.has_domain(NAME)
    browser = ada.client(recent=False)

    for page in ("domain-remove", "domain-key-add"):
        answer = browser.post(ada.url(page, NAME), {"typed": NAME})
        assert answer.status_code == 303
        assert answer["Location"].startswith("/account/confirm/")
    assert ClaimedDomain.objects.exists()


def test_keys_are_made_seen_rotated_and_revoked(ada, dns):
    ada.has_domain(NAME)
    browser = ada.client()
    assert "There are no keys" in shows(browser, ada.url("domain-keys", NAME))

    text = posts(browser, ada.url("domain-key-add", NAME))
    assert text.count("waits for the DNS") == 2
    assert "Value in strings of at most 255" in text
    assert browser.post(ada.url("domain-key-add", NAME)).status_code == 409

    with tenant_schema(ada.tenant.pk):
        keys = list(DkimKey.objects.select_related("domain"))
    for key in keys:
        dns.publish(str(key), "TXT", f"v=DKIM1; {key.public}")
    posts(browser, ada.url("domain-check", NAME))
    text = shows(browser, ada.url("domain-keys", NAME))
    assert text.count("signs") >= 2
    assert "Rotate the keys" in text

    url = ada.url("domain-key-revoke", NAME, keys[0].pk)
    shows(browser, url)
    assert keys[0].selector in refused(browser, url, typed="x")
    assert "v=DKIM1; p=" in posts(browser, url, typed=keys[0].selector)
    assert browser.get(url).status_code == 404


def test_no_page_shows_a_private_key(ada):
    ada.has_domain(NAME)
    browser = ada.client()
    posts(browser, ada.url("domain-key-add", NAME))

    for page in ("domain", "domain-keys", "domain-records", "domain-zone"):
        with CaptureQueriesContext(connection) as asked:
            text = browser.get(ada.url(page, NAME)).content
        assert b"PRIVATE" not in text
        assert not any("sealed_private" in one["sql"] for one in asked)


def test_a_viewer_sees_and_changes_nothing(ada, ben):
    ada.has_domain(NAME)
    browser = ben.client()

    for page in ("domain", "domain-records", "domain-checked", "domain-keys"):
        text = shows(browser, ada.url(page, NAME))
        assert "Look now" not in text
    for page in ("domain-check", "domain-note", "domain-remove", "domain-key-add"):
        assert browser.post(ada.url(page, NAME), {"typed": NAME}).status_code == 403
    assert browser.post(ada.url("domain-add"), {"name": "x.example"}).status_code == 403
    assert ClaimedDomain.objects.count() == 1


def test_mallory_sees_404(ada, mallory, dns):
    ada.has_domain(NAME)
    browser = mallory.client()
    pages = ("domain", "domain-records", "domain-checked", "domain-zone", "domain-note")

    for page in (*pages, "domain-remove", "domain-keys", "domain-key-add", "domain-check"):
        for url in (ada.url(page, NAME), mallory.url(page, NAME)):
            assert browser.post(url, {"typed": NAME}).status_code in (404, 405), url
            assert browser.get(url).status_code in (404, 405), url
    assert dns.asked == []
    assert NAME not in browser.get(mallory.url("domains")).content.decode()


@pytest.mark.parametrize("name", ["ACME.example", "acme.example.", "nothing.example", "%00", "a b"])
def test_an_address_that_is_not_exactly_a_domain_is_404(ada, name):
    ada.has_domain(NAME)

    assert ada.client().get(f"/t/ada/domains/{name}/").status_code == 404
