"""Everything that reads what a stranger wrote: never raises, and is done in a moment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from hypothesis import strategies as st

from mail.authentication.dmarc import judge_dmarc, read_author
from mail.authentication.dmarc_record import read_record
from mail.authentication.key_records import read_key_record
from mail.authentication.results_field import read_results, results_field
from mail.authentication.seal import seal
from mail.authentication.signatures import SignatureCheck
from mail.authentication.values import ArcResult, Authentication, SpfCheck, SpfResult, SpfVerdict
from mail.bounces import read_return
from mail.envelope import Client, Envelope
from mail.errors import TooManyAuthors
from mail.lookups import Answer, MxRecord, Outcome
from mail.mailboxes import addresses
from mail.marker import opened_marks
from mail.message import (
    authors,
    cut_authentication_results,
    header_fields,
    is_auto_submitted,
    is_list_or_bulk,
    is_report,
    split_header_block,
    values,
    without_ranges,
)
from mail.preview import author_of, preview
from mail.scan_fields import cut_scan_fields
from mail.signing import Algorithm, generate_key_pair, load_signing_key, relaxed_body_hash
from mail.trace import new_trace_id
from smtp_edge.headers import ReceivedHeader
from smtp_edge.verification import DnsVerifier
from tests.fuzzing.messages import TOKENS, messages
from tests.mail.authentication.signed_mail import verdicts_of
from tests.timing import within_cpu

logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)  # as delivery/returns.py does

SERVICE = "mx.test"
MARK_KEY = b"this key seals marks of the edge"
PEM, PUBLIC = generate_key_pair(Algorithm.RSA_SHA256)
MOST_FIELDS_READ = 200  # four times the sets of ARC that anything reads
KEY = load_signing_key(PEM, algorithm=Algorithm.RSA_SHA256, domain="fwd.test", selector="s")
RECORDS = (
    b"v=spf1 a mx include:%{d2}.example exists:%{ir}.%{l1r-}.x.example redirect=_spf.example",
    b"v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ptr ?all exp=why.example",
    b"v=DMARC1; p=reject; sp=none; np=quarantine; adkim=s; psd=n; t=y; rua=mailto:a@b.example!1m",
    b"v=DKIM1; k=rsa; t=s:y; h=sha256; p=" + PUBLIC.encode(),
    b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
)


@dataclass(frozen=True)
class Input:
    """A message, and what the DNS says about it: for each question one of these texts."""

    octets: bytes
    records: Sequence[bytes]
    helo: str = "mail.author.example"
    reverse_path: str = "john@author.example"


@st.composite
def records(draw: st.DrawFn) -> bytes:
    text = draw(st.sampled_from(RECORDS))
    for place, what in draw(
        st.lists(st.tuples(st.integers(0, 400), st.sampled_from(TOKENS) | st.binary(max_size=9)), max_size=4)
    ):  # fmt: skip
        at = place % (len(text) + 1)
        text = text[:at] + what + text[at:]
    return text * draw(st.sampled_from([1, 1, 1, 1, 40, 2_000]))


# As the dialog lets them through: HELO in printable ASCII, a path without control characters.
_helos = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=80)
_local_parts = st.text(
    st.characters(exclude_categories=("Cc", "Cs")) | st.sampled_from(' ";=\\()<>\xa0'),
    min_size=1,
    max_size=64,
)
_paths = st.builds(
    "{}@{}".format, _local_parts, st.sampled_from(["author.example", "xn--e1a.test"])
)
inputs = st.builds(
    Input,
    messages(),
    st.lists(records(), max_size=4),
    st.just(Input.helo) | _helos,
    st.just(Input.reverse_path) | st.just("") | _paths,
)


class Names:
    """A `Lookup` that answers with the input's texts in turn, and at times with failures."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        self.texts, self._asked = [one[:65_000] for one in texts], count()

    def _answer(self, found: Callable[[bytes], tuple]) -> Answer:
        number = next(self._asked)
        if not self.texts or number % 7 == 6:
            return Answer(Outcome.FAILURE if number % 2 else Outcome.NO_NAME)
        return Answer(Outcome.FOUND, found(self.texts[number % len(self.texts)]))

    async def txt(self, name: str) -> Answer[bytes]:
        return self._answer(lambda text: (text,))

    async def mx(self, name: str) -> Answer[MxRecord]:
        return self._answer(lambda _: (MxRecord(10, "mx.example"),) * 12)

    async def addresses(self, name: str, family: str) -> Answer[str]:
        return self._answer(lambda _: ("192.0.2.7",) if family == "A" else ("2001:db8::7",))

    async def ptr(self, name: str) -> Answer[str]:
        return self._answer(lambda text: (text[:20].decode("latin-1"), "a.example"))


def check(one: Input) -> None:
    """All readers, each within a second of CPU for a megabyte."""
    fields = header_fields(one.octets[: split_header_block(one.octets)])
    texts = sorted((field.value for field in fields), key=len)[-MOST_FIELDS_READ:]
    _timed(one, "header", lambda: _header(one.octets, fields))
    _timed(one, "verification", lambda: _verified(one, fields))
    _timed(one, "signatures", lambda: _signatures(one, fields))
    _timed(one, "results", lambda: [read_results(text) for text in texts])
    _timed(one, "records", lambda: [(read_record(it), read_key_record(it)) for it in one.records])
    _timed(one, "preview", lambda: (preview(one.octets), author_of(fields)))
    _timed(one, "return", lambda: read_return(one.octets))


def _timed(one: Input, name: str, work: Callable[[], object]) -> None:
    size = len(one.octets) + sum(map(len, one.records))
    try:
        within_cpu(work, seconds=max(0.5, size / 1e6))
    except AssertionError as too_long:
        too_long.add_note(f"{name}, for {size} octets")
        raise


def _header(octets: bytes, fields: Sequence) -> None:
    assert b"".join(one.raw for one in fields) == octets[: sum(len(one.raw) for one in fields)]
    ReceivedHeader.read(octets)
    try:
        authors(fields)
    except TooManyAuthors:
        assert len(octets) > 1000, "a few names are not too many"
    addresses(values(fields, b"from"))
    is_auto_submitted(fields), is_report(fields), is_list_or_bulk(fields)
    opened_marks(fields, (MARK_KEY,))
    for cut in (cut_authentication_results(octets, SERVICE), cut_scan_fields(octets)):
        assert len(without_ranges(octets, cut)) == len(octets) - sum(end - at for at, end in cut)


def _verified(one: Input, fields: Sequence) -> None:
    """As the edge does it, up to our own field and seal: of strangers' octets none breaks a line."""
    found = asyncio.run(_found(one, fields))
    if found is None:
        return
    ours = results_field(found, authserv_id=SERVICE)
    assert ours.isascii()
    assert [it.name for it in header_fields(ours.encode())] == [b"authentication-results"]
    assert len(ours) < 2_100
    made = seal(
        fields, relaxed_body_hash(b"x"), KEY,
        results=header_fields(ours.encode())[0].body.decode(), chain=found.arc.result, now=1,
    )  # fmt: skip
    names = [it.name for it in header_fields(made)]
    assert names in ([], [b"arc-seal", b"arc-message-signature", b"arc-authentication-results"])


async def _found(one: Input, fields: Sequence) -> Authentication | None:
    verifier = DnsVerifier(Names(one.records), receiver=SERVICE)
    client = Client("192.0.2.7", 25, one.helo, "ESMTP")
    envelope = Envelope(new_trace_id(0, bytes(10)), client, one.reverse_path)
    asked = verifier.begin(envelope)
    asked.header(fields)
    body = one.octets[split_header_block(one.octets) :]
    for at in range(0, len(body), 50_000):
        asked.body(body[at : at + 50_000])
    found = await asked.found()
    verifier.close()
    return found


def _signatures(one: Input, fields: Sequence) -> None:
    """Whatever is made worse is never a pass: nobody has the keys that these texts name."""
    verdicts = asyncio.run(verdicts_of(SignatureCheck.of(fields), Names(one.records), now=1))
    assert verdicts.arc.result is not ArcResult.PASS
    nobody = SpfCheck(SpfResult.NONE, "x.example")
    asyncio.run(
        judge_dmarc(
            Names(one.records),
            author=read_author(fields),
            spf=SpfVerdict(nobody, nobody),
            dkim=verdicts.dkim,
        )
    )
