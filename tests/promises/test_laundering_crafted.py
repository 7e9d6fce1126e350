"""Forgeries made by hand: signatures, seals and replays that should speak for somebody (E12)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from mail.authentication.seal import seal
from mail.authentication.values import ArcResult
from mail.message import header_fields, split_header_block
from mail.signing import Algorithm, SigningKey, load_signing_key, relaxed_body_hash
from tests.promises.laundering import (
    ABOVE,
    FORWARD,
    HONEST_PEM,
    MALLORY,
    MALLORY_PEM,
    NONE,
    REJECT,
    SERVICE,
    WEAK_PEM,
    World,
    laundering_world,
    letter,
    signed,
    without,
)
from tests.promises.test_laundering import FORMS, dressed

pytestmark = [pytest.mark.journey, pytest.mark.slow]

OUR_NAMES = (SERVICE, FORWARD, f"deep.{SERVICE}", f"below.{FORWARD}", ABOVE, f"www.{ABOVE}")
FORGER = f"bob@{MALLORY}"
REFUSED = ("550 5.7.26 ", "550 5.7.1 ")


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    with laundering_world(tmp_path_factory.mktemp("service")) as one:
        yield one


def changed(octets: bytes, old: str, new: str) -> bytes:
    assert old.encode() in octets
    return octets.replace(old.encode(), new.encode(), 1)


# Our own names, and the one above them


@pytest.mark.parametrize("name", OUR_NAMES)
def test_our_own_names_are_nobodys_to_write_as(world, name):
    for where in (f"hi@{REJECT}", f"hi@{NONE}", "hi@lax.example", world.returns_to):
        for form in ("plain", "comment", "encoded address in brackets", "group", "Sender"):
            octets = dressed(FORMS[form], name) + b"Auto-Submitted: auto-replied\r\n\r\nx\r\n"

            assert world.offer(where, octets, "").startswith("550 5.7.1 "), (form, where)


def test_who_writes_from_above_our_names_needs_a_proof_of_his_own(world):
    genuine = signed(letter("genuine kin", f"Boss <boss@{ABOVE}>"), ABOVE)
    assert world.offer(f"hi@{REJECT}", genuine, FORGER).startswith("250")
    arrival, seen = world.came_out("genuine kin")
    assert {ABOVE, FORWARD} <= seen.proved

    # Ours is valid on it and aligns with his name: nobody may come back with it alone.
    by_us = without(arrival.octets, b"dkim-signature", b"d=" + ABOVE.encode())
    for replay in (by_us, without(by_us, b"x-mxax-route"), without(by_us, b"arc-seal")):
        assert f"d={FORWARD}".encode() in replay
        for path in (FORGER, "", world.returns_to):
            assert world.offer(f"hi@{NONE}", replay, path).startswith("550 5.7.1 ")


def test_only_a_proof_of_the_very_name_or_of_one_above_it_counts(world):
    above, below = letter("spf kin", f"boss@{ABOVE}"), letter("spf shop", f"it@shop.{ABOVE}")

    assert world.offer(f"hi@{NONE}", above, f"x@shop.{ABOVE}").startswith("550 5.7.1 ")
    assert world.offer(f"hi@{NONE}", below, FORGER).startswith("550 5.7.1 ")
    assert world.offer(f"hi@{NONE}", below, f"x@shop.{ABOVE}").startswith("250")


# Signatures that say little, and mail that was here before


def own_with_another_author(name: str) -> bytes:
    return changed(signed(letter(name, f"me@{MALLORY}"), MALLORY, MALLORY_PEM), "From: me@mallory", "From: boss@ada")  # fmt: skip


def genuine(name: str, body: str = "Hello.", **more) -> bytes:
    return signed(letter(name, f"boss@{REJECT}", body), REJECT, **more)


def forged(name: str) -> bytes:
    return letter(name, f"boss@{REJECT}")


CRAFTED: dict[str, Callable[[str], bytes]] = {
    "signed by the forger": lambda n: signed(forged(n), MALLORY, MALLORY_PEM),
    "forger as the author": lambda n: signed(forged(n), REJECT, MALLORY_PEM),
    "d= changed": lambda n: changed(signed(forged(n), MALLORY, MALLORY_PEM), "d=mallory", "d=ada"),
    "i= below the forger": lambda n: signed(
        forged(n), MALLORY, MALLORY_PEM, identity=f"boss@{REJECT}.{MALLORY}".encode()
    ),
    "key of 512 bits": lambda n: signed(forged(n), REJECT, WEAK_PEM.encode(), selector=b"weak"),
    "key that is nowhere": lambda n: signed(forged(n), REJECT, selector=b"none"),
    "own signature, other author": own_with_another_author,
    "genuine, other body": lambda n: changed(genuine(n), "Hello.", "Pay me."),
    "genuine, other author": lambda n: changed(genuine(n), "From: boss", "From: ceo"),
    "genuine, author above": lambda n: f"From: ceo@{REJECT}\r\n".encode() + genuine(n),
    "genuine, author below": lambda n: changed(genuine(n), "Subject:", "From: c@x.test\r\nSubject:"),
    "genuine l=, text added": lambda n: genuine(n, length=True) + b"Pay me.\r\n",
    "results that say pass": lambda n: (
        f"Authentication-Results: {SERVICE}; dmarc=pass header.from={REJECT}\r\n".encode()
        + b"Received-SPF: pass\r\n" + forged(n)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CRAFTED)
def test_a_signature_that_says_nothing_saves_no_forgery(world, name):
    craft = CRAFTED[name]

    for where in (f"hi@{REJECT}", f"hi@{NONE}"):
        for path in (FORGER, f"boss@{REJECT}", ""):
            reply = world.offer(where, craft("never comes out"), path)
            assert reply.startswith(REFUSED), reply
    # A tenant who lets all of it in lets no proof out.
    if world.offer("hi@lax.example", craft(name), FORGER).startswith("250"):
        _, seen = world.came_out(name)
        assert REJECT not in {one.domain for one in seen.signatures.dkim if one.passed}
        assert "spf" not in seen.dmarc.aligned_by


def test_mail_that_was_here_before_is_no_warrant_for_another_author(world):
    assert world.offer(f"hi@{REJECT}", letter("was here", FORGER), FORGER).startswith("250")
    arrival, seen = world.came_out("was here")
    assert seen.signatures.arc.result is ArcResult.PASS
    unmarked = without(arrival.octets, b"x-mxax-route")

    for where in (f"hi@{REJECT}", f"hi@{NONE}"):
        replay = changed(unmarked, f"From: {FORGER}", f"From: boss@{REJECT}")
        assert world.offer(where, replay, FORGER).startswith(REFUSED)
        assert world.offer(where, replay, world.returns_to).startswith(REFUSED)
    again = changed(unmarked, f"From: {FORGER}", f"From: boss@{NONE}")
    again = changed(again, "X-Forgery: was here", "X-Forgery: here again")
    assert world.offer(f"hi@{REJECT}", again, FORGER).startswith("250")
    _, seen = world.came_out("here again")
    assert seen.proved == {FORWARD}
    assert seen.dmarc.aligned_by == ()
    assert seen.signatures.arc.result is ArcResult.FAIL


# Seals


def key_of(domain: str, pem: bytes = HONEST_PEM) -> SigningKey:
    return load_signing_key(pem, algorithm=Algorithm.RSA_SHA256, domain=domain, selector="s1")


def sealed(
    octets: bytes, key: SigningKey, results: str, chain: ArcResult = ArcResult.NONE
) -> bytes:
    at = split_header_block(octets)
    fields = header_fields(octets[: at - 2])
    body_hash = relaxed_body_hash(octets[at:])
    made = seal(fields, body_hash, key, results=results, chain=chain, now=int(time.time()))
    return made + octets


def passed(domain: str) -> str:
    return f"lists.example; dmarc=pass header.from={domain}"


LISTS = key_of("lists.example")
BY_MALLORY = key_of(MALLORY, MALLORY_PEM)
AUTHOR = "author.test"


def copied_chain(name: str) -> bytes:
    """The seal of one message on top of another one."""
    whole = sealed(letter(name, f"boss@{AUTHOR}", "What the list saw."), LISTS, passed(AUTHOR))
    at = whole.index(b"From: ")
    return whole[:at] + letter(name, f"boss@{AUTHOR}", "Pay me.")


def sealed_again(name: str) -> bytes:
    """Changed by the forger behind the list, who seals what he made of it."""
    first = sealed(letter(name, f"boss@{AUTHOR}"), LISTS, passed(AUTHOR))
    own = changed(first, "Hello.", "Pay me.")
    return sealed(own, BY_MALLORY, f"{MALLORY}; arc=pass", ArcResult.PASS)


SEALED: dict[str, Callable[[str], bytes]] = {
    "a sealer whom nobody trusts": lambda n: sealed(
        letter(n, f"b@{AUTHOR}"), BY_MALLORY, passed(AUTHOR)
    ),
    "the list's name, another key": lambda n: sealed(
        letter(n, f"b@{AUTHOR}"), key_of("lists.example", MALLORY_PEM), passed(AUTHOR)
    ),
    "the list saw it fail": lambda n: sealed(
        letter(n, f"b@{AUTHOR}"), LISTS, f"lists.example; dmarc=fail header.from={AUTHOR}"
    ),
    "the list saw another author": lambda n: sealed(
        letter(n, f"b@{AUTHOR}"), LISTS, passed("other.example")
    ),
    "the list saw nothing": lambda n: sealed(letter(n, f"b@{AUTHOR}"), LISTS, "lists.example; none"),
    "the word pass in a comment": lambda n: sealed(
        letter(n, f"b@{AUTHOR}"), LISTS, f"lists.example; spf=fail (dmarc=pass header.from={AUTHOR})"
    ),
    "copied from another message": copied_chain,
    "a tenant's own domain": lambda n: sealed(letter(n, f"b@{REJECT}"), LISTS, passed(REJECT)),
    "below a tenant's own domain": lambda n: sealed(
        letter(n, f"b@it.{REJECT}"), LISTS, passed(f"it.{REJECT}")
    ),
    "sealed once more by the forger": sealed_again,
}  # fmt: skip


@pytest.mark.parametrize("name", SEALED)
def test_no_seal_that_should_not_count_brings_a_forgery_in(world, name):
    for where in (f"hi@{REJECT}", f"hi@{NONE}"):
        for path in (FORGER, ""):
            reply = world.offer(where, SEALED[name]("never comes out"), path)
            assert reply.startswith(REFUSED), reply


def test_a_seal_that_counts_brings_it_in_and_proves_nothing_of_us(world):
    octets = sealed(letter("over a list", f"boss@{AUTHOR}"), LISTS, passed(AUTHOR))

    assert world.offer(f"hi@{NONE}", octets, "x@lists.example").startswith("250")

    _, seen = world.came_out("over a list")
    assert seen.proved == {FORWARD}
    assert seen.signatures.arc.result is ArcResult.PASS
    assert seen.signatures.arc.sealers == ("lists.example", FORWARD)
    assert not seen.speaks_for(AUTHOR)


def test_nothing_of_all_this_came_out(world):
    world.settle()

    assert world.arrived("never comes out") is None
