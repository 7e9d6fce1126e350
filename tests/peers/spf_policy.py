"""A policy service for Postfix that checks SPF against a zone: what a postmaster would install."""

from __future__ import annotations

import asyncio
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from delivery.lookups import Resolver
from mail.authentication.values import SpfResult
from tests.delivery.dns_zone import Zone
from tests.mail.authentication.spf_world import check_both


@contextmanager
def spf_policy(zone: Zone) -> Iterator[int]:
    """The port of a service that refuses "fail" and writes "Received-SPF: pass" into the rest."""

    def verdict(asked: dict[str, str]) -> SpfResult:
        async def ask() -> SpfResult:
            found = await check_both(
                Resolver([zone.address]),
                client_ip=asked["client_address"],
                helo=asked["helo_name"],
                reverse_path=asked["sender"],
                now=datetime.now(UTC),
            )
            return found.mail_from.result

        return asyncio.run(ask())

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked: dict[str, str] = {}
            for line in self.rfile:
                name, equals, value = line.decode().rstrip("\n").partition("=")
                if equals:
                    asked[name] = value
                    continue
                result = verdict(asked)
                action = f"PREPEND Received-SPF: {result.value}"
                if result is SpfResult.FAIL:
                    action = "550 5.7.23 SPF fail"
                self.wfile.write(f"action={action}\n\n".encode())
                asked = {}

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
