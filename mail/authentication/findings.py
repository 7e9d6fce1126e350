"""What stands against a signature or a key, as a value and as the exception that carries it."""

from dataclasses import dataclass

from mail.authentication.values import DkimResult
from mail.errors import MailError


@dataclass(frozen=True, slots=True)
class Finding:
    """A result and why, in words of ours: nothing that a stranger wrote is in a reason."""

    result: DkimResult
    reason: str = ""

    @property
    def passed(self) -> bool:
        return self.result is DkimResult.PASS


PASSED = Finding(DkimResult.PASS)


class Unusable(MailError):
    """A signature or key that cannot be used; never leaves this package."""

    def __init__(self, reason: str, result: DkimResult = DkimResult.PERMERROR) -> None:
        super().__init__(reason)
        self.finding = Finding(result, reason)
