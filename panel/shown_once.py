"""Secrets that a page shows once: between the POST that made them and the page that shows them.

They wait in the session, sealed under the data key, so that no table ever holds them in clear, and
only a page of the same tenant (or of the account, where there was none) can open them.
"""

import base64
import json
from typing import Final

from django.http import HttpRequest

from tenants.vault import VaultError, vault

SESSION_KEY: Final = "shown_once"


def keep_for_page(request: HttpRequest, **values: str) -> None:
    """Keep values for the next page, in place of any others."""
    sealed = vault().seal(json.dumps(values).encode(), context=_context(request))
    request.session[SESSION_KEY] = base64.b64encode(sealed).decode("ascii")


def take_for_page(request: HttpRequest) -> dict[str, str] | None:
    """The values, once; None where there are none for this place.

    Only a GET uses them up: the answer to a HEAD shows them to nobody.
    """
    kept = request.session.get(SESSION_KEY)
    if kept is None:
        return None
    try:
        octets = vault().unseal(base64.b64decode(kept), context=_context(request))
    except VaultError:  # made in another tenant, or sealed under a data key that is gone
        return None
    if request.method == "GET":
        del request.session[SESSION_KEY]
    values: dict[str, str] = json.loads(octets)
    return values


def _context(request: HttpRequest) -> bytes:
    place = getattr(request, "place", None)
    where = f"tenant {place.tenant.pk}" if place else "the account"
    return f"shown once in a page of {where}".encode()
