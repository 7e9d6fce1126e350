"""Where the MX records of a domain lead: whom mail goes to, and whom it never goes to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from delivery import direct as module
from delivery.direct import MAX_ADDRESSES, MAX_HOSTS, Direct, Rules
from delivery.lookups import Answer, MxRecord, Outcome
from delivery.next_hop import NextHop
from mail.retry import OutcomeClass
from mxax.setting_values import HostPort

PUBLIC = "8.8.8.8"
OTHER = "9.9.9.9"
PUBLIC_V6 = "2620:fe::fe"


@dataclass
class Names:
    """DNS in memory: {name: {"MX": [...], "A": [...]}}; None for a kind means that it fails."""

    names: dict[str, dict] = field(default_factory=dict)

    def _answer(self, name, kind):
        records = self.names.get(name)
        if records is None:
            return Answer(Outcome.NO_NAME)
        found = records.get(kind, ())
        if found is None:
            return Answer(Outcome.FAILURE)
        return Answer(Outcome.FOUND if found else Outcome.NO_DATA, tuple(found))

    async def mx(self, name):
        answer = self._answer(name, "MX")
        return Answer(answer.outcome, tuple(MxRecord(*one) for one in answer.records))

    async def addresses(self, name, family):
        return self._answer(name, family)


def resolve(names, domain="d.example", *, v6=False, **rules):
    finder = Direct(Names(names), Rules(**rules), prefers_v6=lambda: v6)
    return asyncio.run(finder.resolve(domain))


def places(hop: NextHop) -> list[tuple[str, list[str]]]:
    return [(host.name, [str(where) for where in host.addresses]) for host in hop.hosts]


def test_the_hosts_of_the_mx_records_come_by_preference():
    hop = resolve({
        "d.example": {"MX": [(20, "b.example"), (10, "a.example")], "A": ["1.1.1.1"]},
        "a.example": {"A": [PUBLIC, OTHER]},
        "b.example": {"A": ["8.8.4.4"]},
    })  # fmt: skip

    assert places(hop) == [
        ("a.example", ["8.8.8.8:25", "9.9.9.9:25"]),
        ("b.example", ["8.8.4.4:25"]),
    ]
    assert [host.preference for host in hop.hosts] == [10, 20]


def test_two_domains_of_one_provider_are_one_next_hop():
    mx = {"a.example": {"A": [PUBLIC]}, "b.example": {"A": [OTHER]}}
    one = resolve({**mx, "d.example": {"MX": [(10, "a.example"), (20, "b.example")]}})
    two = resolve({**mx, "d.example": {"MX": [(1, "b.example"), (1, "a.example")]}})

    assert one.key == two.key == "a.example,b.example"


def test_without_mx_records_the_domain_is_its_own_host():
    hop = resolve({"d.example": {"A": [PUBLIC], "AAAA": [PUBLIC_V6]}})

    assert places(hop) == [("d.example", ["8.8.8.8:25", "[2620:fe::fe]:25"])]


def test_addresses_of_a_domain_with_mx_records_are_never_used():
    """RFC 5321, 5.1: not even when no MX host can be found."""
    found = resolve({"d.example": {"MX": [(10, "gone.example")], "A": [PUBLIC]}})

    assert (found.result, found.enhanced) == (OutcomeClass.PERMANENT, "5.4.4")


def test_ipv6_comes_first_where_there_is_a_route():
    names = {"d.example": {"A": [PUBLIC], "AAAA": [PUBLIC_V6]}}

    assert places(resolve(names, v6=True))[0][1] == ["[2620:fe::fe]:25", "8.8.8.8:25"]
    assert places(resolve(names, v6=False))[0][1] == ["8.8.8.8:25", "[2620:fe::fe]:25"]


def test_the_null_mx_takes_no_mail():
    found = resolve({"d.example": {"MX": [(0, "")], "A": [PUBLIC]}})

    assert (found.result, found.enhanced) == (OutcomeClass.PERMANENT, "5.1.10")
    assert found.reply.startswith("556 5.1.10 ")


def test_a_null_mx_among_others_means_nothing():
    """RFC 7505, 3: a domain that takes no mail has no other MX record."""
    hop = resolve({"d.example": {"MX": [(0, ""), (5, "a.example")]}, "a.example": {"A": [PUBLIC]}})

    assert [host.name for host in hop.hosts] == ["a.example"]


def test_a_domain_that_does_not_exist_fails():
    found = resolve({})

    assert (found.result, found.enhanced) == (OutcomeClass.PERMANENT, "5.1.2")


def test_a_server_that_denies_a_name_but_knows_its_address_is_not_believed():
    class Denying(Names):
        async def mx(self, name):
            return Answer(Outcome.NO_NAME)

    finder = Direct(Denying({"d.example": {"A": [PUBLIC]}}), Rules(), prefers_v6=lambda: False)

    assert places(asyncio.run(finder.resolve("d.example"))) == [("d.example", ["8.8.8.8:25"])]


@pytest.mark.parametrize(
    "names",
    [
        {"d.example": {"MX": None, "A": [PUBLIC]}},
        {"d.example": {"A": None, "AAAA": ()}},
        {"d.example": {"A": (), "AAAA": None}},
        {"d.example": {"MX": [(10, "a.example")]}, "a.example": {"A": None}},
        {"d.example": {"MX": [(10, "a.example"), (10, "x.example")]}, "a.example": {"AAAA": None}},
        # A private address is no reason to fail while another host is not known.
        {"d.example": {"MX": [(10, "a.example"), (10, "b.example")]},
         "a.example": {"A": ["10.0.0.1"]}, "b.example": {"A": None}},
    ],
)  # fmt: skip
def test_no_answer_in_dns_only_ever_defers(names):
    found = resolve(names)

    assert (found.result, found.enhanced) == (OutcomeClass.TRANSIENT, "4.4.3")


def test_one_host_that_is_not_found_does_not_keep_the_others_from_it():
    hop = resolve({
        "d.example": {"MX": [(10, "a.example"), (20, "b.example"), (30, "c.example")]},
        "a.example": {"A": None}, "c.example": {"A": [PUBLIC], "AAAA": None},
    })  # fmt: skip

    assert places(hop) == [("c.example", ["8.8.8.8:25"])]


def test_a_host_whose_server_is_slow_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(module, "ADDRESS_SECONDS", 0.05)

    class Slow(Names):
        async def addresses(self, name, family):
            if name == "a.example":
                await asyncio.sleep(60)
            return await super().addresses(name, family)

    mx = {"MX": [(10, "a.example"), (20, "b.example")]}
    finder = Direct(
        Slow({"d.example": mx, "b.example": {"A": [PUBLIC]}}), Rules(), prefers_v6=lambda: False
    )

    assert places(asyncio.run(finder.resolve("d.example"))) == [("b.example", ["8.8.8.8:25"])]


FORBIDDEN = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.31.0.1", "192.168.1.1"),
    *("169.254.169.254", "100.64.0.1", "192.0.0.8", "198.18.0.1", "224.0.0.1", "255.255.255.255"),
    *("240.0.0.1", "192.0.2.1", "198.51.100.7", "203.0.113.9"),
    *("::", "::1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::10.0.0.1", "fe80::1", "fe80::1%eth0"),
    *("fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1", "2001::1"),
    *("64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:0a00:0001::1"),
    *("2002:7f00:1::", "5f00::1", "3fff::1", "not an address"),
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_private_addresses_are_never_connected_to(address):
    """SSRF by mail: whoever names a destination writes its MX records."""
    family = "AAAA" if ":" in address else "A"
    names = {"d.example": {"MX": [(10, "a.example")]}, "a.example": {family: [address]}}

    found = resolve(names)

    assert (found.result, found.enhanced) == (OutcomeClass.PERMANENT, "5.4.4")


def test_a_private_address_beside_a_public_one_is_left_out():
    names = {"d.example": {"MX": [(10, "a.example")]}, "a.example": {"A": ["10.0.0.1", PUBLIC]}}

    assert places(resolve(names)) == [("a.example", ["8.8.8.8:25"])]


def test_private_networks_are_reached_where_the_operator_says_so():
    names = {"d.example": {"A": ["10.0.0.1"]}}

    assert places(resolve(names, allow_private=True, port=2525)) == [
        ("d.example", ["10.0.0.1:2525"])
    ]


@pytest.mark.parametrize("address", [PUBLIC, "1.0.0.1", "2606:4700::1111", "64:ff9b::8.8.8.8"])
def test_public_addresses_are_connected_to(address):
    family = "AAAA" if ":" in address else "A"

    assert places(resolve({"d.example": {family: [address]}}))


def test_a_domain_whose_best_host_is_ourselves_fails_as_a_loop():
    names = {"d.example": {"MX": [(10, "mx.ours.example"), (20, "b.example")]},
             "mx.ours.example": {"A": [PUBLIC]}, "b.example": {"A": [OTHER]}}  # fmt: skip

    found = resolve(names, own_names=("mx.ours.example",))

    assert (found.result, found.enhanced) == (OutcomeClass.PERMANENT, "5.4.6")


def test_hosts_before_ourselves_are_used_and_those_after_us_are_not():
    """RFC 5321, 5.1: a host less preferred than we are would send the mail back to us."""
    names = {
        "d.example": {"MX": [(10, "a.example"), (20, "us.example"), (30, "c.example")]},
        **{name: {"A": [PUBLIC]} for name in ("a.example", "us.example", "c.example")},
    }

    assert [host.name for host in resolve(names, own_names=("us.example",)).hosts] == ["a.example"]


def test_this_machines_own_address_is_ourselves_under_any_name(monkeypatch):
    monkeypatch.setattr(module, "source_address", lambda address: address)

    found = resolve({"d.example": {"A": [PUBLIC]}})

    assert found.enhanced == "5.4.6"


def test_our_own_listener_is_ourselves_in_private_networks_too():
    names = {"d.example": {"A": ["127.0.0.1"]}}
    here = (HostPort("0.0.0.0", 2525),)

    found = resolve(names, allow_private=True, port=2525, listening=here)
    beside = resolve(names, allow_private=True, port=2526, listening=here)

    assert found.enhanced == "5.4.6"
    assert places(beside) == [("d.example", ["127.0.0.1:2526"])]


def test_a_machine_knows_which_addresses_are_its_own():
    assert module.source_address("127.0.0.1") == "127.0.0.1"
    assert module.source_address("127.0.0.77") != "127.0.0.77"
    assert module.source_address("nonsense") is None


def test_address_literals_are_refused():
    assert resolve({}, "[8.8.8.8]").result is OutcomeClass.PERMANENT


def test_a_flood_of_mx_records_is_cut_off():
    hosts = {f"h{number}.example": {"A": [PUBLIC] * 50} for number in range(300)}
    mx = [(number, f"h{number}.example") for number in range(300)]

    hop = resolve({"d.example": {"MX": mx}, **hosts})

    assert len(hop.hosts) == MAX_HOSTS
    assert len(hop.hosts[0].addresses) == MAX_ADDRESSES


def test_a_host_named_twice_is_one_host():
    names = {
        "d.example": {"MX": [(20, "a.example"), (10, "a.example")]},
        "a.example": {"A": [PUBLIC]},
    }

    hop = resolve(names)

    assert [(host.name, host.preference) for host in hop.hosts] == [("a.example", 10)]
