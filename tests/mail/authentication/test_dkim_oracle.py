"""Our verifier and dkimpy agree on a corpus of odd messages, in every form, changed and not (E8)."""

import itertools
import re
from pathlib import Path

import pytest

from mail.authentication.values import DkimResult
from mail.message import header_fields, split_header_block
from mail.signing import Algorithm, relaxed_body_hash, sign
from tests.mail.authentication.signed_mail import (
    KEY_NAME,
    ask_dkimpy,
    pem_of,
    signed,
    signer,
    verdicts,
)

FILES = sorted((Path(__file__).parents[2] / "fixtures").glob("*.eml"))
FORMS = list(itertools.product(("simple", "relaxed"), repeat=2))
LATER = 2_000_000_000
# dkimpy has no answer for a header block that it cannot parse; a message without From is nobody's.
UNREADABLE = {"empty_name", "line_without_colon", "obsolete_colons", "leading_continuation"}
UNREADABLE |= {"no_from", "no_header", "cpython-msg_35"}


def cpython_corpus() -> dict[str, bytes]:
    try:
        from test import test_email
    except ImportError:
        return {}
    folder = Path(test_email.__file__).parent / "data"
    return {
        f"cpython-{path.stem}": re.sub(rb"\r\n|\r|\n", b"\r\n", path.read_bytes())
        for path in sorted(folder.glob("*.txt"))
    }


CORPUS = {path.stem: path.read_bytes() for path in FILES} | cpython_corpus()


def passes(octets: bytes, zone: dict) -> bool:
    return verdicts(octets, zone, now=LATER).dkim[0].result is DkimResult.PASS


@pytest.fixture(scope="module")
def by_dkimpy() -> dict[tuple[str, str], bytes]:
    """Each message signed by dkimpy in each pair of forms."""
    which = list(itertools.product(CORPUS, FORMS))
    common = {"do": "sign", "pem": pem_of()}
    fields = ask_dkimpy(
        *(
            {**common, "message": CORPUS[name].decode("latin-1"), "canonicalize": form}
            for name, form in which
        )
    )
    return {
        (name, "/".join(form)): field.encode("latin-1") + CORPUS[name]
        for (name, form), field in zip(which, fields, strict=True)
        if not field.startswith("error")
    }


def test_all_that_dkimpy_signs_is_read_as_dkimpy_reads_it(by_dkimpy):
    zone = signer().zone
    changes = [
        lambda octets: octets,
        lambda octets: octets + b"more\r\n",
        lambda octets: octets + b"\r\n\r\n",
        lambda octets: octets.replace(b"\r\nFrom:", b"\r\nfrom :  ", 1),
        lambda octets: octets.replace(b"\r\nTo: ", b"\r\nTo:\r\n ", 1),
        lambda octets: octets.replace(b"\r\n\r\n", b"\r\nFrom: m@evil.test\r\n\r\n", 1),
    ]
    cases = {
        (name, form, number): change(octets)
        for (name, form), octets in by_dkimpy.items()
        for number, change in enumerate(changes)
        # dkimpy reads no "from :", nor a header block that gets a line without a colon.
        if b"\r\nfrom :" not in change(octets) and (number, name) != (1, "no_body_at_all")
    }

    theirs = ask_dkimpy(
        *(
            {"do": "verify", "message": octets.decode("latin-1"), "records": zone}
            for octets in cases.values()
        )
    )

    assert len(by_dkimpy) >= (55 if cpython_corpus() else 20) * 4
    differ = {
        case: (passes(octets, zone), answer)
        for (case, octets), answer in zip(cases.items(), theirs, strict=True)
        if passes(octets, zone) is not (answer is True)
    }
    assert differ == {}
    assert theirs.count(True) > len(by_dkimpy)


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("form", FORMS, ids="/".join)
def test_what_the_rfc_says_word_by_word_passes_here_and_before_dkimpy(form, algorithm):
    by = signer(algorithm)
    made = {
        name: signed(octets, by, c="/".join(form), h="from:to:subject:received:from")
        for name, octets in CORPUS.items()
        if name not in UNREADABLE and octets.count(b"\r\nFrom:") + octets.startswith(b"From:") == 1
    }

    theirs = ask_dkimpy(
        *(
            {"do": "verify", "message": octets.decode("latin-1"), "records": by.zone}
            for octets in made.values()
        )
    )

    ours = [passes(octets, by.zone) for octets in made.values()]
    assert len(made) >= (48 if cpython_corpus() else 18)
    assert ours == [answer is True for answer in theirs]
    assert ours.count(True) >= len(made) - 4


@pytest.mark.parametrize("name", CORPUS)
def test_our_own_signatures_pass(name):
    octets = CORPUS[name]
    begin = split_header_block(octets)
    key = signer().key
    field = sign(octets[:begin], relaxed_body_hash(octets[begin:]), (key,), now=LATER)
    whole = field + octets

    (found, *_) = verdicts(whole, {KEY_NAME: signer().record}, now=LATER).dkim

    ours = header_fields(whole[: split_header_block(whole)])[0]
    glued = ours.raw != field  # the message began with a continuation, which our field swallowed
    assert found.passed is not glued, found
