"""What is shown of mail that nobody trusts: read safely, shown as it is, and never rendered."""

from __future__ import annotations

import base64
import tracemalloc
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mail.preview import MOST_LINES, MOST_TEXT_OCTETS, Preview, TextSource, preview
from tests.timing import within_cpu

HEAD = b"From: Carol <carol@author.example>\r\nSubject: Tea\r\n"
BOUNDARY = b"Content-Type: multipart/mixed; boundary=b1\r\n\r\n"


def letter(**headers: str) -> EmailMessage:
    one = EmailMessage()
    one["From"], one["To"], one["Subject"] = "Carol <carol@author.example>", "hi@x.example", "Tea"
    for name, value in headers.items():
        one[name] = value
    return one


def shown(one: EmailMessage) -> Preview:
    from email import policy

    return preview(one.as_bytes(policy=policy.SMTP))


def test_a_plain_letter_is_its_fields_and_its_lines():
    found = preview(HEAD + b"\r\nHello,\r\n\r\n  indented\r\n")

    assert found.fields == (("From", "Carol <carol@author.example>"), ("Subject", "Tea"))
    assert found.lines == ("Hello,", "", "  indented")
    assert (found.source, found.is_cut, found.attachments) == (TextSource.PLAIN, False, ())
    assert found.author == "carol@author.example"


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "windows-1252"])
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_text_comes_out_of_its_charset_and_encoding(charset, encoding):
    one = letter()
    one.set_content("Grüße, ça va?\n" * 3, charset=charset, cte=encoding)

    assert shown(one).lines == ("Grüße, ça va?",) * 3


def test_names_and_sizes_of_attachments():
    one = letter()
    one.set_content("See below.\n")
    one.add_attachment(b"\0" * 3000, maintype="application", subtype="zip", filename="Ünïcode.zip")
    one.add_attachment("a,b\n", subtype="csv", filename="x\u202egnp.csv")

    found = shown(one)

    assert found.lines == ("See below.",)
    names = [(a.name, a.media_type) for a in found.attachments]
    assert names == [("Ünïcode.zip", "application/zip"), ("x\\u202egnp.csv", "text/csv")]
    assert 2990 <= found.attachments[0].size_octets <= 3010


def test_html_is_its_source_where_there_is_no_plain_text():
    one = letter()
    one.set_content("<script>alert(1)</script><b>Hi</b>", subtype="html")

    found = shown(one)

    assert found.source is TextSource.HTML
    assert found.lines[0] == "<script>alert(1)</script><b>Hi</b>"


def test_plain_text_goes_before_html_and_says_that_there_is_another_version():
    one = letter()
    one.set_content("harmless")
    one.add_alternative("<b>pay now</b>", subtype="html")

    found = shown(one)

    assert (found.lines, found.source, found.has_html) == (("harmless",), TextSource.PLAIN, True)


def test_nothing_hides_in_a_line():
    found = preview(HEAD + b"\r\na\x1b[31mred\x00\xe2\x80\xae evil \xe2\x80\x8b\r\nnext\x0bline")

    assert all(line.isprintable() for line in found.lines)
    assert "\\x1b[31m" in found.lines[0]


def test_encoded_words_are_read_and_cannot_write_a_line_of_their_own():
    word = base64.b64encode("Rechnung\r\nBcc: x@y.example\u202e".encode()).decode()
    found = preview(f"Subject: =?utf-8?b?{word}?= =?iso-8859-1?q?_=FCber?=\r\n\r\n".encode())

    assert found.fields == (("Subject", "Rechnung Bcc: x@y.example\\u202e über"),)


@pytest.mark.parametrize(
    ("value", "author"),
    [
        ("carol@author.example", "carol@author.example"),
        ('"Lee, Carol" <Carol@AUTHOR.example>', "Carol@author.example"),
        ("Carol (of the office) <carol@author.example>", "carol@author.example"),
        ("carol@author.example, bob@author.example", ""),
        ("<bank@bank.example> <carol@author.example>", ""),
        ("=?utf-8?q?carol=40author.example?=", ""),
        ("nobody", ""),
    ],
)
def test_the_author_is_one_mailbox_or_nobody(value, author):
    assert preview(f"From: {value}\r\n\r\n".encode()).author == author


def test_two_from_fields_have_no_author():
    assert preview(HEAD + b"From: bank@bank.example\r\n\r\n").author == ""


def test_long_text_is_cut_and_says_so():
    found = preview(HEAD + b"\r\n" + b"word " * 20_000)

    assert found.is_cut
    assert sum(len(line) for line in found.lines) <= MOST_TEXT_OCTETS


def test_what_was_not_read_whole_says_so():
    octets = HEAD + BOUNDARY + b"--b1\r\nContent-Type: a/b; name=big.bin\r\n\r\nxxxx"

    found = preview(octets, is_whole=False)

    assert found.is_cut
    assert [(one.name, one.is_whole) for one in found.attachments] == [("big.bin", False)]


DEEP = b"".join(
    b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (n, n + 1)
    for n in range(1, 900)
)
NASTY = {
    "a boundary in each line": BOUNDARY + b"--b1\r\n" * 160_000,
    "parts of nothing": BOUNDARY + b"--b1\r\n\r\n" * 110_000,
    "nested without end": BOUNDARY + DEEP * 20,
    "the same boundary all the way down": BOUNDARY
    + b"--b1\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n" * 17_000,
    "nearly the boundary": b"Content-Type: multipart/mixed; boundary="
    + b"a" * 70
    + b"\r\n\r\n"
    + (b"--" + b"a" * 69 + b"\r\n") * 13_000,
    "one endless header": b"X: " + b"a" * 1_000_000,
    "a header of words": b"Subject: " + b"=?utf-8?q?a?= " * 70_000,
    "words that never end": b"Subject: " + b"=?utf-8?q?" * 100_000,
    "many fields": b"A: b\r\n" * 160_000,
    "a part of many fields": BOUNDARY + b"--b1\r\n" + b"A: b\r\n" * 160_000,
    "open quotes": b'Content-Type: a/b; x="' + b'\\"; y="' * 140_000,
    "comments in From": b"From: " + b"(" * 900_000,
    "quotes in From": b"From: " + b'"a"' * 300_000,
    "base64 of nothing": HEAD + b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=" * 1_000_000,
    "quoted-printable": HEAD
    + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    + b"=\r\n" * 333_000,
    "punycode": HEAD + b"Content-Type: text/plain; charset=punycode\r\n\r\n" + b"a" * 1_000_000,
    "zip as a charset": HEAD + b"Content-Type: text/plain; charset=zlib_codec\r\n\r\n" + b"a" * 99,
    "tabs": HEAD + b"\r\n" + b"\t" * 1_000_000,
    "line ends": HEAD + b"\r\n" + b"\r\n" * 500_000,
    "letters that do not print": HEAD + b"\r\n" + "\U000e0041".encode() * 250_000,
    "nothing": b"",
    "no body": b"\r\n",
}


@pytest.mark.parametrize("octets", NASTY.values(), ids=NASTY.keys())
def test_a_megabyte_of_malice_is_read_in_no_time_and_little_room(octets):
    tracemalloc.start()
    found = preview(octets)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 50_000_000
    within_cpu(lambda: preview(octets), seconds=1)
    assert len(found.lines) <= MOST_LINES
    assert len(found.attachments) <= 200


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                b"\r\n", b"\r\n\r\n", b"--b1", b"--b1--", b"Content-Type: ", b"multipart/mixed; ",
                b"boundary=b1", b'boundary="', b"text/html", b"; charset=", b"utf-7", b"From: ", b"=?",
                b"Content-Transfer-Encoding: base64", b"; name*0*=utf-8''%", b"filename*=", b"?=", b";",
            ]
        ),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(PIECES, st.booleans())
def test_whatever_comes_is_shown_and_prints(pieces, is_whole):
    found = preview(b"".join(pieces), is_whole=is_whole)

    texts = [*found.lines, found.author, *(one.name for one in found.attachments)]
    texts += [text for pair in found.fields for text in pair]
    assert all(text.isprintable() for text in texts)
    assert all(one.size_octets >= 0 for one in found.attachments)


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), max_size=200))
def test_text_comes_back_as_it_was_written(text):
    one = letter()
    one.set_content(text + "\n", charset="utf-8", cte="base64")

    assert "".join(shown(one).lines) == text.replace("\\", "\\\\")
