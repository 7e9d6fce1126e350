"""Untouched dkimpy in a process of its own: reads JSON tasks on stdin, answers on stdout.

    {"do": "sign", "message", "pem", "canonicalize", "algorithm", "domain", "selector", "length"}
    {"do": "verify", "message", "records", "index"}             -> bool
    {"do": "arc_verify", "message", "records"}                  -> ["pass", reason]
    {"do": "chain", "message", "pem", "domain", "selector", "hops"}
                                 -> the message after each hop, the results of the hop before added

Octets travel as Latin-1 text. It must import nothing of the project: that is its worth.
"""

import json
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import dkim


def lookup(task: dict):
    records = {name.encode(): text.encode() for name, text in task["records"].items()}
    return lambda name, timeout=5: records.get(name.rstrip(b"."))


def sign(task: dict) -> str:
    field = dkim.sign(
        task["message"].encode("latin-1"),
        task.get("selector", "s").encode(),
        task.get("domain", "author.test").encode(),
        task["pem"].encode(),
        canonicalize=tuple(part.encode() for part in task["canonicalize"]),
        signature_algorithm=task.get("algorithm", "rsa-sha256").encode(),
        length=task.get("length", False),
    )
    return field.decode("latin-1")


def verify(task: dict) -> bool:
    message = dkim.DKIM(task["message"].encode("latin-1"))
    return bool(message.verify(idx=task.get("index", 0), dnsfunc=lookup(task)))


def arc_verify(task: dict) -> list:
    result, _, reason = dkim.arc_verify(task["message"].encode("latin-1"), dnsfunc=lookup(task))
    return [result.decode() if result else None, reason]


@dataclass
class Result:
    method: str
    result: str
    rest: str

    def __str__(self) -> str:
        return f"{self.method}={self.result}{self.rest}"


@dataclass
class Results:
    """What dkimpy wants of the package authres to read the results that it seals."""

    authserv_id: str
    results: list[Result]

    @classmethod
    def parse(cls, field: str) -> "Results":
        authserv_id, *results = field.partition(":")[2].strip().split("; ")
        parts = [text.partition(" ") for text in results]
        return cls(authserv_id, [Result(*a.split("="), space + b) for a, space, b in parts])


dkim.authres = SimpleNamespace(
    AuthenticationResultsHeader=Results, core=SimpleNamespace(SyntaxError=ValueError)
)


def chain(task: dict) -> list[str]:
    octets, after = task["message"].encode("latin-1"), []
    for hop in range(1, task["hops"] + 1):
        results = b"lists.example.org; arc=" + (b"none" if hop == 1 else b"pass") + b"; spf=pass"
        octets = b"Authentication-Results: " + results + b" smtp.mfrom=ada@author.test\r\n" + octets
        selector, domain = task["selector"].encode(), task["domain"].encode()
        sealed = dkim.arc_sign(octets, selector, domain, task["pem"].encode(), b"lists.example.org")
        # Its own field was only the way to say so; a hop that keeps it would say it twice.
        octets = b"".join(sealed) + octets.split(b"\r\n", 1)[1]
        after.append(octets.decode("latin-1"))
    return after


DO = {"sign": sign, "verify": verify, "arc_verify": arc_verify, "chain": chain}


def attempt(task: dict) -> object:
    try:
        return DO[task["do"]](task)
    except (dkim.DKIMException, IndexError) as error:  # IndexError: a leading continuation
        return f"error: {type(error).__name__}"


if __name__ == "__main__":
    json.dump([attempt(task) for task in json.load(sys.stdin)], sys.stdout)
