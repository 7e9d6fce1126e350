"""Records as people type them at their provider, and as a zone file that a server reads."""

import pytest
from dnslib import RR

from mail.signing import Algorithm, generate_key_pair
from routing.records.texts import provider_fields, zone_file


@pytest.mark.parametrize(
    ("name", "host", "zone"),
    [
        ("acme.example", "@", "acme.example"),
        ("_dmarc.acme.example", "_dmarc", "acme.example"),
        ("_dmarc.mail.acme.example", "_dmarc.mail", "acme.example"),
        ("shop.acme.co.uk", "shop", "acme.co.uk"),
    ],
)
def test_the_name_within_the_zone(name, host, zone):
    fields = provider_fields(name, "TXT", "x")

    assert (fields.host, fields.zone, fields.strings) == (host, zone, ())


def test_an_mx_is_a_priority_and_a_server():
    fields = provider_fields("acme.example", "MX", "10 mxax.test.")

    assert (fields.priority, fields.target) == ("10", "mxax.test")


def test_a_long_text_is_cut_into_strings_of_255():
    _, public = generate_key_pair(Algorithm.RSA_SHA256)

    fields = provider_fields("s._domainkey.acme.example", "TXT", f"v=DKIM1; {public}")

    assert len(fields.strings[0]) == 257, "255 and two quotation marks"
    assert "".join(piece.strip('"') for piece in fields.strings) == f"v=DKIM1; {public}"


def test_a_name_server_reads_the_snippet_as_it_is_meant():
    value = 'v=spf1 exists:%{i}.b.example "quoted" back\\slash -all' + "x" * 300

    text = zone_file(
        "acme.example",
        [
            ("acme.example", "TXT", value, "why"),
            ("acme.example", "MX", "10 mxax.test.", "mail"),
        ],
        "remark",
    )

    txt, mx = RR.fromZone(text)
    assert b"".join(txt.rdata.data).decode() == value
    assert (mx.rdata.preference, str(mx.rdata.label)) == (10, "mxax.test.")
