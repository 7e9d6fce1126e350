"""Addresses of pages and lines that several pages of the account say."""

from typing import Final

SIGN_IN: Final = "/sign-in/"
CODE: Final = "/sign-in/code/"
CONFIRM: Final = "/account/confirm/"
ACCOUNT: Final = "/account/"
FACTOR: Final = "/account/second-factor/"
SESSIONS: Final = "/account/sessions/"

WRONG_PASSWORD: Final = "E-mail address and password do not fit together."  # noqa: S105
WRONG_CODE: Final = (
    "This code is not right, or was used already. Wait for the next one; after several wrong "
    "codes none counts for a while."
)
