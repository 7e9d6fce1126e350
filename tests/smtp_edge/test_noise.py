"""Whatever a stranger sends: no exception, no traceback to him, and the next client is served."""

import random
import time

import pytest

from smtp_edge.limits import Limits
from tests.smtp_edge.listening import Client, listening

WORDS = [
    b"EHLO a\r\n", b"HELO \r\n", b"MAIL FROM:<a@b.example>\r\n", b"MAIL FROM:<>", b"\r\n",
    b"RCPT TO:<hi@example.org>\r\n", b"RCPT TO:<\"", b"DATA\r\n", b".\r\n", b"\n.\n", b"\0", b"\r",
    b"STARTTLS\r\n", b"BDAT 5\r\n", b"QUIT\r", b"RSET\r\n", b"\xff\xfe", b" ", b"<>", b"@" * 40,
    b"SRS0=AAAAAAAAAA=AA=x=y@fwd.mxax.test", b"=?utf-8?b?", b"A" * 2000, b"From: a@mxax.test\r\n",
    b"X-Mxax-Route: \r\n", b"Received: x\r\n" * 60, b"\xe2\x80\xa8", b"\x1b[31m", b"SIZE=9999999999999",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(150))
def test_noise_breaks_nothing(shared_mx, seed):
    chance = random.Random(seed)
    noise = b"".join(
        chance.choice(WORDS) if chance.random() < 0.85 else chance.randbytes(chance.randint(1, 300))
        for _ in range(chance.randint(5, 120))
    )
    # Half of them wait for their turn first: whoever does not is sent away at his first command.
    client = shared_mx.connect() if seed % 2 else Client(shared_mx.port)
    received = b""
    try:
        for start in range(0, len(noise), 997):
            client.send(noise[start : start + 997])
        client.send(b"\r\n.\r\nQUIT\r\n")
        client.socket.settimeout(0.3)
        while piece := client.socket.recv(65536):
            received += piece
    except OSError:
        pass
    client.close()

    assert b"Traceback" not in received
    assert all(line[:3].isdigit() for line in received.split(b"\r\n") if line)


def test_after_all_that_mail_flows(shared_mx, letter, capfd):
    assert shared_mx.connect().deliver(letter, "hi@example.org").startswith("250")
    time.sleep(0.1)

    from smtp_edge import metrics

    assert metrics.EXCEPTIONS._value.get() == 0


@pytest.fixture(scope="module")
def shared_mx():
    from tests.smtp_edge.listening import World, hosted, route

    world = World()
    world.host(hosted("example.org", route(1, "hi", "friend@there.example")))
    with listening(world, limits=Limits(error_delay_seconds=0, client_connections=1000)) as mx:
        yield mx
