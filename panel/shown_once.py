"""Secrets that a page shows once: between the POST that made them and the page that shows them.

They wait in the session, sealed under the data key, so that no table ever holds them in clear.
"""

import base64
import json
from typing import Final

from django.http import HttpRequest

from tenants.vault import VaultError, vault

SESSION_KEY: Final = "shown_once"
_CONTEXT: Final = b"shown once in a page"


def keep_for_page(request: HttpRequest, **values: str) -> None:
    """Keep values for the next page, in place of any others."""
    sealed = vault().seal(json.dumps(values).encode(), context=_CONTEXT)
    request.session[SESSION_KEY] = base64.b64encode(sealed).decode("ascii")


def take_for_page(request: HttpRequest) -> dict[str, str] | None:
    """The values, once; None where there are none."""
    kept = request.session.pop(SESSION_KEY, None)
    if kept is None:
        return None
    try:
        octets = vault().unseal(base64.b64decode(kept), context=_CONTEXT)
    except VaultError:  # sealed under a data key that is gone
        return None
    values: dict[str, str] = json.loads(octets)
    return values
