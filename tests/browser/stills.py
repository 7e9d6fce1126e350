"""Pages that nobody comes to by an address: broken, refused, and just sent."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import Any

HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)"')


@dataclass(frozen=True)
class Shown:
    """A page by name: at its address, or as the text that was got once."""

    name: str
    path: str
    text: str = ""


def print_stills() -> None:
    """The pages that a test cannot bring about without harm, as JSON: for `manage.py shell`."""
    from django.template.loader import render_to_string
    from django.test import RequestFactory

    request = RequestFactory().get("/")
    wanted = {
        "error-400": ("400.html", {}),
        "error-500": ("500.html", {}),
        "error-429": ("panel/account/slow_down.html", {"minutes": 5}),
    }
    print(json.dumps({n: render_to_string(t, c, request) for n, (t, c) in wanted.items()}))


def sent(context: Any, path: str, **values: Any) -> str:
    """The page after a form was sent with these values, redirects followed."""
    before = context.request.get(path).text()
    hidden = {name: html.unescape(value) for name, value in HIDDEN.findall(before)}
    return str(context.request.post(path, form={**hidden, **values}).text())


def by_forms(context: Any) -> list[Shown]:
    """What Ada sees after forms: wrong values, previews, secrets shown once."""
    t, days = "/t/ada/", {f"{kind}_days": "5" for kind in ("message", "attempt", "content")}
    keeping = {**days, "level": "3", "refused_days": "7", "audit_days": "90"}
    csv = "address,destinations\nnew@example.org,a@far.example\nwrong,b@far.example\n"
    forms: list[tuple[str, str, dict[str, str]]] = [
        ("wrong-route", "routes/new/", {"address": "x@", "destinations": "a\nb"}),
        ("wrong-domain", "domains/add/", {"name": "not a domain"}),
        ("wrong-keeping", "logging/change/", {**keeping, "message_days": "-1"}),
        ("wrong-invitation", "people/invite/", {"email": "nobody"}),
        ("wrong-token", "access/tokens/add/", {"label": ""}),
        ("wrong-removal", "domains/example.org/remove/", {"typed": "example.com"}),
        ("wrong-delete", "settings/delete/", {"typed": "eve"}),
        ("stale-note", "domains/example.org/note/", {"note": "one", "version": "old"}),
        ("sent-keeping", "logging/change/", keeping),
        ("sent-import", "routes/import/", {"text": csv}),
        ("sent-keys", "domains/xn--bcher-kva.example/keys/add/", {}),
        ("sent-credential", "access/credentials/add/", {"label": "scanner"}),
        ("sent-token", "access/tokens/add/", {"label": "cron", "scopes": "read"}),
    ]
    found = [Shown(name, t + path, sent(context, t + path, **form)) for name, path, form in forms]
    begin = context.request.get("/account/second-factor/").text()
    token = dict(HIDDEN.findall(begin))["csrfmiddlewaretoken"]
    path = "/account/second-factor/begin/"
    set_up = context.request.post(path, form={"csrfmiddlewaretoken": token})
    return [*found, Shown("sent-factor", path, set_up.text())]


def by_others(visitor: Any, ben: Any) -> list[Shown]:
    """What a visitor sees, and a member who may only look."""
    wrong = {"email": "nobody@nowhere.example", "password": "wrong"}
    lost = visitor.request.post("/sign-in/", form={"email": "ada@ada.example"})
    paths = ("/", "/sign-in/", "/sign-up/", "/password/", "/dns-help/cloudflare/", "/status/")
    opened = [
        Shown(f"visitor{path.replace('/', '-')}", path, visitor.request.get(path).text())
        for path in paths
    ]
    looks = ("", "domains/", "routes/", "messages/", "logging/", "people/", "access/")
    return [
        *opened,
        Shown("wrong-sign-in", "/sign-in/", sent(visitor, "/sign-in/", **wrong)),
        Shown("wrong-sign-up", "/sign-up/", sent(visitor, "/sign-up/", email="x")),
        Shown("error-403-csrf", "/sign-in/", lost.text()),
        Shown("error-404", "/nothing/", visitor.request.get("/nothing/").text()),
        Shown("spent-invitation", "/", visitor.request.get("/invitation/aaaa/").text()),
        Shown("error-403-role", "/", ben.request.get("/t/ada/routes/new/").text()),
        *(
            Shown(
                f"viewer-{one.strip('/') or 'home'}", "/", ben.request.get(f"/t/ada/{one}").text()
            )
            for one in looks
        ),
    ]
