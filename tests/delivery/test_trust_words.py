"""What was found, in sentences that a person can act on."""

from dataclasses import replace

import pytest

from delivery.trust_words import decided_text, found_lines
from mail.authentication.values import ArcResult, DkimResult, DmarcResult, SpfResult
from mail.policy.trust_findings import found_of
from mail.policy.trust_rules import judge_trust
from mail.scanning import ScanOutcome, ScanResult
from tests.mail.test_trust_findings import SIGNED
from tests.mail.test_trust_rules import CHAIN, FAILS, PASSES, SPAM, VIRUS, facts


def told(given) -> list[str]:
    found = found_of(given, judge_trust(given))
    return [f"{one.what}: {one.text} [{one.result}, {one.tone}]" for one in found_lines(found)]


def test_a_good_message_reads_well():
    given = facts(PASSES, spf=SpfResult.PASS, spf_domain="author.example", dkim=SIGNED)

    assert told(given) == [
        "Reverse DNS: The client's address and the name mx.author.example lead to each other. "
        "[pass, good]",
        "SPF (HELO): The client may use author.example. [pass, good]",
        "SPF: The client may use author.example. [pass, good]",
        "DKIM: Signed by author.example, and unchanged since. [pass, good]",
        "DMARC: author.example is shown to be the author's own domain, by DKIM. [pass, good]",
        "ARC: No forwarder before us sealed it. [none, plain]",
    ]


def test_a_forged_one_says_what_is_wrong_and_who_asked_to_refuse_it():
    given = facts(replace(FAILS, reason="nothing is aligned"), arc=CHAIN, scans=(SPAM, VIRUS))

    lines = told(given)

    assert (
        "DMARC: Nothing shows that it comes from author.example, and author.example asks for "
        "reject. The reason: nothing is aligned. [fail, bad]"
    ) in lines
    assert (
        "Seal 1: lists.example sealed it, and says that DMARC passed there. Anybody can say so. "
        "[, plain]"
    ) in lines
    assert lines[-2:] == [
        "rspamd: Gave 12.5 points, and calls it spam from 6 on. [spam, warn]",
        "clamd: Found a virus: Eicar-Test-Signature. [virus, bad]",
    ]


@pytest.mark.parametrize("result", list(SpfResult))
def test_every_result_of_spf_has_words(result):
    lines = told(facts(spf=result, spf_domain="author.example"))

    assert "author.example" in next(one for one in lines if one.startswith("SPF: "))


@pytest.mark.parametrize("result", list(DkimResult))
def test_every_result_of_dkim_has_words(result):
    lines = told(facts(dkim=(replace(SIGNED[0], result=result, is_testing=True),)))

    assert any("testing the key" in one and f"[{result.value}," in one for one in lines)


@pytest.mark.parametrize("result", list(DmarcResult))
def test_every_result_of_dmarc_has_words(result):
    line = next(one for one in told(facts(replace(FAILS, result=result))) if "DMARC: " in one)

    assert not line.startswith("DMARC:  [")


@pytest.mark.parametrize("result", list(ArcResult))
def test_every_result_of_arc_has_words(result):
    lines = told(facts(arc=replace(CHAIN, result=result)))

    assert not any(one.startswith("ARC:  [") for one in lines)


@pytest.mark.parametrize("outcome", list(ScanOutcome))
def test_every_outcome_of_a_scanner_has_words(outcome):
    assert not told(facts(scans=(ScanResult("clamd", outcome),)))[-1].startswith("clamd:  [")


def test_the_rule_that_decided_is_said_with_its_reason():
    refused, taken = facts(FAILS), facts()

    assert decided_text(found_of(refused, judge_trust(refused))) == (
        "“Does DMARC fail, and does the author's domain ask to refuse such mail?” Yes: refused "
        "(DMARC fails for author.example, whose policy is reject)."
    )
    assert decided_text(found_of(taken, judge_trust(taken))) == (
        "No rule of trust was against it: taken."
    )
    assert decided_text(()) == ""


def test_mail_without_signature_or_domain_says_so():
    lines = told(facts(FAILS))

    assert "DKIM: Not signed. [none, plain]" in lines
    assert "SPF: There is no domain to ask. [none, plain]" in lines


def test_what_strangers_wrote_is_one_printable_line():
    lines = found_lines((("dkim", "pass \x1b[31m\u202eevil.example x | \r\nfaked"), ("other", "x")))

    assert len(lines) == 1
    assert "\x1b" not in lines[0].text
    assert "\n" not in lines[0].text
