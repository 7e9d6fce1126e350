"""What a browser says of itself, in the words of people."""

import pytest

from panel.account.browsers import browser_words

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox 128 on Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/126.0.0.0 Safari/537.36", "Chrome 126 on Windows"),
        (f"Mozilla/5.0 (Windows NT 10.0) {WEBKIT} Chrome/126.0 Safari/537.36 Edg/126.0.2592", "Edge 126 on Windows"),
        (f"Mozilla/5.0 (Linux; Android 14; Pixel) {WEBKIT} Chrome/126.0 Mobile Safari/537.36", "Chrome 126 on Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15", "Safari 17 on macOS"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1", "Safari 17 on iPhone"),
        ("Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605 (KHTML, like Gecko) FxiOS/128.0 Mobile/15E148 Safari/605", "Firefox 128 on iPad"),
        ("w3m/0.5.3+git20230121", "w3m 0"),
        ("curl/8.8.0", "curl 8"),
        ("a test", ""),
        ("", ""),
        ("Firefox/" + "9" * 150, "Firefox 9999"),
        ("Windows", ""),
    ],
)  # fmt: skip
def test_browser_and_system_are_named(user_agent, words):
    assert browser_words(user_agent) == words
