"""Our own names, and what stands above them in the DNS."""

from dataclasses import dataclass

from mail.facts import OwnName


@dataclass(frozen=True, slots=True)
class OwnNames:
    """`above` are the organisational domains over our names, the names themselves left out."""

    service: str
    forward: str
    operator_address: str = ""
    above: tuple[str, ...] = ()

    @classmethod
    def of(cls, service: str, forward: str, operator_address: str) -> "OwnNames":
        from publicsuffixlist import PublicSuffixList  # 2 MB and 50 ms, wanted once

        suffixes = PublicSuffixList()
        found = {suffixes.privatesuffix(name) for name in (service, forward)}
        above = tuple(sorted(name for name in found - {service, forward} if name))
        return cls(service, forward, operator_address, above)

    def named(self, domain: str) -> OwnName | None:
        """Which of our own names a recipient's domain is."""
        if domain == self.forward:
            return OwnName.FORWARD
        return OwnName.SERVICE if domain == self.service else None
