"""Who is told when delivery fails: only an owner of the reverse-path who really sent it (C9)."""

from dataclasses import replace

import pytest

from mail.authentication.reverse_path import is_authentic
from mail.authentication.values import (
    ArcResult,
    ArcVerdict,
    Authentication,
    ClientName,
    ClientNameResult,
    DkimResult,
    DkimSignature,
    DmarcResult,
    DmarcVerdict,
    SpfCheck,
    SpfResult,
    SpfVerdict,
)

CAROL = "carol@author.example"
FAILED = SpfCheck(SpfResult.FAIL, "author.example")
FORGED = Authentication(
    client_ip="192.0.2.1",
    helo="client.example",
    reverse_path=CAROL,
    client_name=ClientName(ClientNameResult.PASS, "client.example"),
    spf=SpfVerdict(SpfCheck(SpfResult.PASS, "client.example"), FAILED),
    dkim=(),
    arc=ArcVerdict(ArcResult.NONE),
    dmarc=DmarcVerdict(DmarcResult.FAIL, "author.example"),
)


def spf(result: SpfResult) -> Authentication:
    check = SpfCheck(result, "author.example")
    return replace(FORGED, spf=replace(FORGED.spf, mail_from=check))


def signed(domain: str, result: DkimResult = DkimResult.PASS, **more) -> Authentication:
    other = DkimSignature(DkimResult.FAIL, "author.example")
    return replace(FORGED, dkim=(other, DkimSignature(result, domain, **more)))


def judged(author: str, above: str = "", result=DmarcResult.PASS) -> Authentication:
    verdict = DmarcVerdict(result, author, organizational_domain=above, aligned_by=("dkim",))
    return replace(FORGED, dmarc=verdict)


def test_spf_shows_it_where_it_passes():
    assert is_authentic(spf(SpfResult.PASS), CAROL)


@pytest.mark.parametrize("result", [one for one in SpfResult if one is not SpfResult.PASS])
def test_no_other_result_of_spf_does_nor_that_of_the_helo_name(result):
    assert not is_authentic(spf(result), CAROL)


@pytest.mark.parametrize("path", [CAROL, "carol@news.author.example", "Carol@Author.EXAMPLE"])
def test_where_spf_fails_a_signature_of_the_domain_or_of_one_above_shows_it(path):
    assert is_authentic(signed("author.example"), path)


@pytest.mark.parametrize(
    "domain", ["elsewhere.example", "thor.example", "news.author.example", "xauthor.example", ""]
)
def test_a_signature_of_another_domain_does_not(domain):
    assert not is_authentic(signed(domain), CAROL)


@pytest.mark.parametrize("result", [one for one in DkimResult if one is not DkimResult.PASS])
def test_nor_does_one_that_did_not_pass(result):
    assert not is_authentic(signed("author.example", result), CAROL)


def test_nor_one_whose_key_is_being_tried_out():
    assert not is_authentic(signed("author.example", is_testing=True), CAROL)


def test_dmarc_shows_it_where_the_author_is_of_the_same_domain():
    assert is_authentic(judged("author.example"), CAROL)
    assert is_authentic(judged("mail.author.example", "author.example"), CAROL)
    assert not is_authentic(judged("mail.author.example"), CAROL)
    assert not is_authentic(judged("other.example", "other.example"), CAROL)


@pytest.mark.parametrize("result", [one for one in DmarcResult if one is not DmarcResult.PASS])
def test_dmarc_shows_nothing_where_it_does_not_pass(result):
    assert not is_authentic(judged("author.example", "author.example", result), CAROL)


@pytest.mark.parametrize("path", ["", "carol@"])
def test_what_has_no_domain_has_no_owner(path):
    for found in (spf(SpfResult.PASS), signed("author.example"), judged("author.example")):
        assert not is_authentic(found, path)


def test_where_nothing_was_found_out_nothing_is_shown():
    assert not is_authentic(None, CAROL)
