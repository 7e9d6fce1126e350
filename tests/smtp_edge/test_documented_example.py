"""The example of docs/extending.md, taken from the page and run."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from mail.authentication.values import (
    ArcResult,
    ArcVerdict,
    Authentication,
    ClientName,
    ClientNameResult,
    DmarcPolicy,
    DmarcResult,
    DmarcVerdict,
    SpfCheck,
    SpfResult,
    SpfVerdict,
)
from mail.extension import CheckFacts, check_fields, rules_of
from mail.message import header_fields
from mail.policy.trust import Action
from mail.policy.trust_rules import judge_trust
from smtp_edge.extensions import Extensions
from tests.mail.test_extension import FACTS as TRUST_FACTS
from tests.smtp_edge.scanning.peers import ENVELOPE, HEADER, listening

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
INVOICE = HEADER.replace(b"Hello", b"Your Invoice")


@pytest.fixture
def extensions(tmp_path, monkeypatch):
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "mychecks.py").write_text(code)
    (tmp_path / "suppliers.txt").write_text("paper.example\nada.example\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (checks,) = re.findall(r"^    MXAX_CHECKS=(.*)$", PAGE.read_text(), re.MULTILINE)
    (rules,) = re.findall(r"^    MXAX_RULES=(.*)$", PAGE.read_text(), re.MULTILINE)
    yield Extensions.of(checks.split(","), rules.split(","))
    sys.modules.pop("mychecks", None)


def asked(extensions: Extensions, header: bytes, *, path: str, oracle: bytes = b"fine\n"):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(int(await reader.readline()))
        writer.write(oracle)

    async def story():
        async with listening(answer) as peer:
            sys.modules["mychecks"].AskTheOracle.address = (peer.address.host, peer.address.port)
            envelope = replace(ENVELOPE, reverse_path=path)
            facts = CheckFacts(envelope, ("ben@ben.example",), tuple(header_fields(header)))
            return await extensions.ask(facts, header + b"\r\nPay!\r\n")

    results = uvloop.run(story())
    return judge_trust(TRUST_FACTS, (*extensions.rules, *rules_of(results))), check_fields(results)


def test_a_suppliers_invoice_is_marked(extensions):
    found, fields = asked(extensions, INVOICE, path="office@paper.example")

    assert found.action is Action.ACCEPT
    assert fields == "X-Supplier: paper.example\r\n"


def test_an_invoice_of_somebody_else_is_looked_at_first(extensions):
    found, fields = asked(extensions, INVOICE, path="office@evil.example")

    assert found.action is Action.QUARANTINE
    assert found.rule == "KnownSuppliers"
    assert fields == ""


def test_what_the_oracle_does_not_like_is_refused(extensions):
    found, _ = asked(extensions, HEADER, path="ada@ada.example", oracle=b"no\n")

    assert str(found.reply) == "550 5.7.1 Not for us"


def test_without_the_oracle_everything_waits(extensions):
    sys.modules["mychecks"].AskTheOracle.address = ("127.0.0.1", 1)
    facts = CheckFacts(ENVELOPE, (), tuple(header_fields(HEADER)))

    results = uvloop.run(extensions.ask(facts, HEADER))

    assert str(judge_trust(TRUST_FACTS, rules_of(results)).reply).startswith("451 4.7.1")


@pytest.mark.parametrize(
    ("result", "action"),
    [(DmarcResult.FAIL, Action.REFUSE), (DmarcResult.PASS, Action.ACCEPT),
     (DmarcResult.NONE, Action.REFUSE)],
)  # fmt: skip
def test_our_own_name_needs_proof(extensions, result, action):
    check = SpfCheck(SpfResult.NONE, "example.org")
    found = Authentication(
        client_ip="192.0.2.7",
        helo="x",
        reverse_path="",
        client_name=ClientName(ClientNameResult.PASS),
        spf=SpfVerdict(check, check),
        dkim=(),
        arc=ArcVerdict(ArcResult.NONE),
        dmarc=DmarcVerdict(result, "example.org", DmarcPolicy.NONE, "example.org"),
    )
    facts = replace(
        TRUST_FACTS,
        authentication=found,
        author_domains=("example.org",),
        author_addresses=("boss@example.org",),
    )

    assert judge_trust(facts, extensions.rules).action is action
