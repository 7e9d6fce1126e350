"""Private destinations and their next hops, to be looked for where they must not be."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mail.masking import Meaning

FIXTURES = Path(__file__).parents[1] / "fixtures" / "bounces"


@dataclass(frozen=True)
class Private:
    """A destination that only the tenant may know, and the host that takes its mail."""

    address: str
    host: str
    ip: str

    @property
    def local(self) -> str:
        return self.address.rpartition("@")[0]

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    def fill(self, template: str) -> str:
        xtext = self.address.replace("+", "+2B").replace("=", "+3D").replace("@", "+40")
        forms = {
            "address": self.address,
            "local": self.local,
            "domain": self.domain,
            "host": self.host,
            "ip": self.ip,
            "id": f"a640c23a62f3a-{self.local}.{self.domain}",
            "xtext": xtext,
            "percent": quote(self.address, safe=""),
            "verp": f"bounce+{self.local}={self.domain}@lists.example",
            "srs": f"SRS0=AbCd=EF={self.domain}={self.local}@forward.example",
            "qp": self.address.replace("@", "=40"),
            "b64": base64.b64encode(self.address.encode()).decode(),
        }
        return template.format(**forms)

    def occurs_in(self, octets: bytes) -> list[str]:
        """Which of its names stand in the octets, in any case."""
        text = octets.decode("utf-8", "surrogateescape").lower()
        labels = [
            label
            for name in (self.domain, self.host)
            for label in name.split(".")[:-1]
            if len(label) > 4
        ]
        names = [self.address, self.local, self.domain, self.host, self.ip, *labels]
        return [name for name in names if name.lower() in text]


PRIVATE = [
    Private("friend.1987@gmail.com", "gmail-smtp-in.l.google.com", "142.250.102.26"),
    Private("buddy77@hotmail.com", "hotmail-com.olc.protection.outlook.com", "52.101.73.1"),
    Private("JaneDoeberg@yahoo.co.uk", "mx-eu.mail.am0.yahoodns.net", "188.125.72.74"),
    Private("kaspar+lists@icloud.com", "mx01.mail.icloud.com", "17.57.156.30"),
    Private("k.zimmermann@gmx.net", "mx00.emig.gmx.net", "212.227.15.9"),
    Private("ungarnurlaub@web.de", "mx-ha03.web.de", "212.227.17.8"),
    Private("o'hara@proton.me", "mailsec.protonmail.ch", "185.70.42.129"),
    Private("quentin_x@fastmail.com", "in1-smtp.messagingengine.com", "103.168.172.221"),
    Private("zoe-zz@aol.com", "mx-aol.mail.gm0.yahoodns.net", "67.195.204.72"),
    Private("vbq@tiny.example", "mx1.tiny.example", "192.0.2.55"),
    Private("Ünal@xn--bcher-kva.example", "mx.xn--bcher-kva.example", "2001:db8::25"),
    Private("pq99@sub.corp.example", "relay7.corp.example", "198.51.100.9"),
]


def templates() -> list[tuple[Meaning, str]]:
    """Meaning and reply of each line of the corpus."""
    lines = (FIXTURES / "replies.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split(" | ", 1) for line in lines if line and not line.startswith("#")]
    return [(Meaning[meaning], reply.replace("\\n", "\n")) for meaning, reply in pairs]
