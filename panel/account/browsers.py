"""A browser in words, "Firefox 128 on Linux", from what it says of itself (RFC 9110, 10.1.5).

Browsers claim to be each other: what only the later ones say is looked for first. Whoever wants to
says anything, so the words name nobody; the page shows the text itself, too.
"""

import re
from typing import Final

_BROWSERS: Final = (
    ("Edge", r"Edg(?:e|A|iOS)?/(\d{1,4})"),
    ("Opera", r"OPR/(\d{1,4})"),
    ("Samsung Internet", r"SamsungBrowser/(\d{1,4})"),
    ("Firefox", r"(?:Firefox|FxiOS)/(\d{1,4})"),
    ("Chromium", r"Chromium/(\d{1,4})"),
    ("Chrome", r"(?:Chrome|CriOS)/(\d{1,4})"),
    ("Safari", r"Version/(\d{1,4})\S* (?:Mobile/\S+ )?Safari/"),
    ("w3m", r"w3m/(\d{1,4})"),
    ("Lynx", r"Lynx/(\d{1,4})"),
    ("curl", r"curl/(\d{1,4})"),
)
_SYSTEMS: Final = (
    ("iPhone", r"\biPhone\b"),
    ("iPad", r"\biPad\b"),
    ("Android", r"\bAndroid\b"),
    ("ChromeOS", r"\bCrOS\b"),
    ("Windows", r"\bWindows\b"),
    ("macOS", r"\bMac(?:intosh| OS X)\b"),
    ("FreeBSD", r"\bFreeBSD\b"),
    ("OpenBSD", r"\bOpenBSD\b"),
    ("Linux", r"\b(?:Linux|X11)\b"),
)


def browser_words(user_agent: str) -> str:
    """Name and version of the browser, and its system as far as it says; "" for one not known."""
    browser = next(
        (
            f"{name} {match[1]}"
            for name, pattern in _BROWSERS
            if (match := re.search(pattern, user_agent, re.ASCII))
        ),
        "",
    )
    system = next((name for name, pattern in _SYSTEMS if re.search(pattern, user_agent)), "")
    return f"{browser} on {system}" if browser and system else browser
