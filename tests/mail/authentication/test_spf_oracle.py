"""Our reading of RFC 7208 beside that of pyspf, on records that nobody wrote by hand.

Left out are the four points in which pyspf reads otherwise: it counts a redirect that is never
followed, refuses a record that includes itself before it gets there and an unknown modifier that
stands there twice (ignored "no matter where in a record, or how often", 6), and lets `exists`
stand without a domain and a macro keep no part.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as some

from tests.mail.authentication.pyspf_oracle import pyspf_result
from tests.mail.authentication.spf_world import FAIL, MemoryDns, check

BOTH = [("A", "192.0.2.1"), ("AAAA", "2001:db8::1")]
IP6 = f"{'0.' * 23}8.b.d.0.1.0.0.2.ip6.arpa"
NAMES = {
    "one.example": BOTH,
    "two.example": [("A", "198.51.100.7"), ("AAAA", "2001:db8:7::7")],
    "mail.example": [("MX", (10, "one.example")), ("MX", (20, "two.example"))],
    "far.example": [("MX", (10, "two.example"))],
    "gone.example": [("TXT", "nothing of SPF")],
    "down.example": [FAIL],
    "ada.one.example": BOTH,
    "h.example.one.example": BOTH,
    "1.2.0.192.in-addr.arpa": [("PTR", "one.example"), ("PTR", "two.example")],
    "9.100.51.198.in-addr.arpa": [("PTR", "two.example")],
    f"1.{IP6}": [("PTR", "one.example")],
    f"9.{IP6}": [("PTR", "ada.one.example"), ("PTR", "two.example")],
}
CLIENTS = some.sampled_from(["192.0.2.1", "198.51.100.9", "2001:db8::1", "2001:db8::9"])
GOOD_TARGETS = ["one.example", "two.example", "mail.example", "far.example", "gone.example", "nx.example", "down.example", "ONE.Example", "one.example.", "%{l}.one.example", "%{h}.one.example", "%{d2}", "%{o}", "%{ir}.%{v}.arpa", "%{d1r}.example", "%{l1r-}.one.example", "%{p}", "one%-.example", "one.%{d1r-}", "one%%.example", "%{s}.example", "%{o1}.example", "one_.example", "foo:bar/baz.example", "a/24.example"]  # fmt: skip
BAD_TARGETS = [
    "example",
    "one..example",
    "one.123",
    "%{q}",
    "%{i",
    "%{",
    "one.example/x",
    "1-.example",
    "one.a-",
    "%{c}.example",
    "%a",
    "%",
    "%{r}",
]
GOOD_NETWORKS = [
    "ip4:192.0.2.1",
    "ip4:192.0.2.0/24",
    "ip4:198.51.100.0/24",
    "ip4:0.0.0.0/0",
    "ip6:2001:db8::/32",
    "ip6:2001:db8::1",
    "ip6:::/0",
    "ip6:::ffff:192.0.2.1",
    "IP4:192.0.2.1",
    "ip6:2001:DB8::1/128",
]
BAD_TERMS = [
    "ip4:192.0.2.1/33",
    "ip4:192.0.2",
    "ip4:192.0.02.1",
    "ip4",
    "ip4:",
    "ip6:::1/129",
    "ip6:x",
    "ip4:192.0.2.1/024",
    "all:x",
    "all/8",
    "ip6:2001:db8::1//64",
    "ip6:fe80::1%eth0",
    "unknown",
    "x=%{z}",
    "=",
    ":",
    "a:",
    "-",
    "v=spf1",
    "exp=",
    "include",
    "include:",
    "--all",
    "mx/33",
    "a//129",
    "a/024",
    "a/",
    "mx/24/64",
    "ptr/24",
    "exists:one.example/24",
    "redirect=",
    "all.",
    "1=2",
]

network = some.sampled_from(GOOD_NETWORKS)
lengths = some.sampled_from(["", "", "", "/24", "/0", "//64", "/24//64"])
target = some.sampled_from([":" + name for name in GOOD_TARGETS])
host = some.builds(
    "".join, some.tuples(some.sampled_from(["a", "mx", "A", "Mx"]), some.just("") | target, lengths)
)
name = some.sampled_from(["ptr", "PTR"]) | some.builds(
    "".join, some.tuples(some.sampled_from(["ptr", "exists"]), target)
)
bad = some.sampled_from(
    BAD_TERMS + [f"{what}:{one}" for one in BAD_TARGETS for what in ("a", "exists")]
)
ending = some.sampled_from(
    [[], ["-all"], ["~all"], ["?all", "x=%{l}"], ["exp=gone.example", "-ALL"]]
)


def records(*below: str) -> some.SearchStrategy[str]:
    """Records which include and redirect to these domains only."""
    includes = some.sampled_from([f"include:{domain}" for domain in (*below, "gone.example")])
    mechanism = some.one_of(network, host, name, *([includes] if below else []))
    qualifier = some.sampled_from(["", "", "+", "-", "~", "?"])
    term = some.builds("".join, some.tuples(qualifier, mechanism))
    kinds = [
        some.tuples(some.lists(term, max_size=4), ending),
        some.tuples(some.lists(term | bad, max_size=3), ending),
    ]
    if below:
        redirect = some.sampled_from([[f"redirect={domain}"] for domain in below])
        kinds.append(some.tuples(some.lists(term, max_size=1), redirect))
    return some.one_of(kinds).map(lambda parts: " ".join(["v=spf1", *parts[0], *parts[1]]))


@settings(max_examples=2_000, deadline=None, derandomize=True)
@given(records("b.example", "c.example"), records("c.example"), records(), CLIENTS)
def test_we_and_pyspf_come_to_one_result(a, b, c, client_ip):
    zone = {"a.example": a, "b.example": b, "c.example": c}
    names = NAMES | {domain: [("TXT", record)] for domain, record in zone.items()}
    identity = {"client_ip": client_ip, "helo": "h.example", "reverse_path": "ada@a.example"}

    ours = check(MemoryDns(names), **identity)
    theirs = pyspf_result(MemoryDns(names), **identity)

    assert ours.result.value == theirs, ours.reason
