"""What is told of a next hop's reply: codes and our own words, never a letter of its text."""

import re

import pytest

from mail.masking import GAVE_UP, Meaning, diagnose
from tests.mail.identities import PRIVATE, templates
from tests.timing import within_cpu

TEMPLATES = templates()
SHOWN = "hi@ada.example"


@pytest.mark.parametrize(("meaning", "template"), TEMPLATES)
def test_the_meaning_is_read_from_what_providers_write(meaning, template):
    assert diagnose(PRIVATE[0].fill(template)).meaning is meaning


def test_over_a_thousand_refusals_the_destination_never_occurs():
    refusals = [
        (private, private.fill(template)) for _, template in TEMPLATES for private in PRIVATE
    ]

    leaks = [
        (refusal, diagnose(refusal))
        for private, refusal in refusals
        if private.occurs_in(diagnose(refusal).diagnostic_code(SHOWN).encode())
    ]

    assert len(refusals) > 1000
    assert leaks == []


@pytest.mark.parametrize("template", [reply for _, reply in TEMPLATES])
def test_what_is_told_does_not_depend_on_whose_destination_it_is(template):
    told = {diagnose(private.fill(template)).diagnostic_code(SHOWN) for private in PRIVATE}

    assert len(told) == 1


def test_a_local_part_that_is_a_common_word_is_not_pointed_at():
    for word in ("user", "mailbox", "recipient", "address", "unknown", "full", "a"):
        told = diagnose(f"550 5.1.1 <{word}@gmail.com>: no such user here, {word}")

        assert told.diagnostic_code(SHOWN) == (
            "smtp; 550 5.1.1 <hi@ada.example>: There is no mailbox of that name."
        )


@pytest.mark.parametrize(
    ("reply", "basic", "enhanced"),
    [
        ("550 5.1.1 x", 550, "5.1.1"),
        ("550-5.1.1 x\r\n550 5.1.1 y", 550, "5.1.1"),
        ("550 x (#5.1.1)", 550, "5.1.1"),
        ("550 4.1.1 a class that contradicts", 550, "5.0.0"),
        ("550 5.7.606 unregistered detail", 550, "5.7.0"),
        ("550 5.99.1 unregistered subject", 550, "5.0.0"),
        ("550 host 5.1.1.25 is an address", 550, "5.0.0"),
        ("550", 550, "5.0.0"),
        ("451 later", 451, "4.0.0"),
        ("5.4.4 no way there", 0, "5.4.4"),
        ("no code at all", 0, "4.0.0"),
        ("", 0, "4.0.0"),
        ("250 2.0.0 fine", 0, "4.0.0"),
        ("999 what", 0, "4.0.0"),
        ("5500 what", 0, "4.0.0"),
    ],
)
def test_codes_come_from_closed_lists(reply, basic, enhanced):
    found = diagnose(reply)

    assert (found.basic, found.enhanced) == (basic, enhanced)


@pytest.mark.parametrize(
    "named",
    ["<quota.full@spam-virus.example>", "blocked.blacklist.example", "bounce+spam=virus.example"],
)
def test_a_name_that_sounds_like_a_reason_is_none(named):
    assert diagnose(f"550 {named} refused").meaning is Meaning.REFUSED


def test_the_end_of_life_has_its_own_words():
    assert GAVE_UP.diagnostic_code(SHOWN).startswith("x-mxax; 5.4.7 <hi@ada.example>: It could not")
    assert not GAVE_UP.is_policy


def test_our_words_hold_no_control_character_and_no_address():
    for meaning in Meaning:
        assert re.fullmatch(r"[A-Za-z' ,.]+", meaning.value)


@pytest.mark.parametrize(
    "piece", ["a@", "<", "user ", "a.", "5.1.1.", "mailbox unknown ", "\r\n550-", "="]
)
def test_a_hostile_reply_takes_no_time(piece):
    reply = "550 " + piece * (1_000_000 // len(piece))

    within_cpu(lambda: diagnose(reply), seconds=0.1)
