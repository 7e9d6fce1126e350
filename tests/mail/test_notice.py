"""Account mail: one person, one plain text, no way to slip anything in."""

import email
import email.policy

import pytest

from mail.errors import BadAddress
from mail.notice import account_mail


def notice(**changes):
    facts = {
        "recipient": "ada@ada.example", "subject": "Please confirm", "service_domain": "mxax.test",
        "paragraphs": ("Somebody wants mail to come to you. " * 5, "https://panel.example/c/" + "x" * 100),
    }  # fmt: skip
    return account_mail(**{**facts, **changes})


def test_account_mail_reads_well_and_answers_nobody():
    message = email.message_from_bytes(notice().octets, policy=email.policy.default)

    assert (message["to"], message["subject"]) == ("ada@ada.example", "Please confirm")
    assert message["from"].addresses[0].addr_spec == "postmaster@mxax.test"
    assert message["auto-submitted"] == "auto-generated"
    assert message["date"] is None
    assert message["message-id"] is None
    assert "https://panel.example/c/" + "x" * 100 in message.get_content()


def test_nothing_returns_of_it():
    assert notice().reverse_path == ""


def test_every_line_is_short_crlf_and_seven_bit():
    octets = notice(subject="Bitte bestätigen", paragraphs=("Grüße " * 80,)).octets

    assert octets.isascii()
    assert b"\n" not in octets.replace(b"\r\n", b"")
    assert max(map(len, octets.split(b"\r\n"))) <= 78
    assert (
        email.message_from_bytes(octets, policy=email.policy.default)["subject"]
        == "Bitte bestätigen"
    )


@pytest.mark.parametrize("subject", ["x\r\nBcc: victim@v.example", "", "x" * 151, "x\u2028y"])
def test_a_subject_is_one_line(subject):
    with pytest.raises(ValueError):
        notice(subject=subject)


@pytest.mark.parametrize(
    "recipient", ["a@b.example\r\nBcc: v@v.example", "nobody", "a@b.example, c@d.example", ""]
)
def test_a_recipient_is_one_address(recipient):
    with pytest.raises(BadAddress):
        notice(recipient=recipient)
