"""Untouched dkimpy in a process of its own: reads JSON tasks on stdin, answers on stdout.

Tasks: {"do": "verify", "message", "records", "index"} -> bool or "error: ..."
       {"do": "sign", "message", "pem", "canonicalize"} -> the DKIM-Signature field
       {"do": "body", "body"} -> the relaxed body
       {"do": "arc", "message", "records"} -> [chain status or null, reason]
Octets travel as Latin-1 text. It must import nothing of the project: that is its worth.
"""

import json
import sys

import dkim
from dkim.canonicalization import Relaxed


def answer(task: dict) -> object:
    if task["do"] == "body":
        return Relaxed.canonicalize_body(task["body"].encode("latin-1")).decode("latin-1")
    message = task["message"].encode("latin-1")
    if task["do"] == "sign":
        canonicalize = tuple(part.encode() for part in task["canonicalize"])
        pem = task["pem"].encode()
        return dkim.sign(message, b"s", b"author.test", pem, canonicalize=canonicalize).decode()
    records = {name.encode(): text.encode() for name, text in task["records"].items()}

    def lookup(name: bytes, timeout: int = 5) -> bytes | None:
        return records.get(name.rstrip(b"."))

    if task["do"] == "arc":
        status, _, reason = dkim.arc_verify(message, dnsfunc=lookup)
        return [status and status.decode(), reason]
    return bool(dkim.DKIM(message).verify(idx=task["index"], dnsfunc=lookup))


def attempt(task: dict) -> object:
    try:
        return answer(task)
    except (dkim.DKIMException, IndexError) as error:  # IndexError: a leading continuation
        return f"error: {type(error).__name__}"


if __name__ == "__main__":
    json.dump([attempt(task) for task in json.load(sys.stdin)], sys.stdout)
