"""Replies on the wire: one class, stated once.

`Reply(basic=550, detail=(1, 1), text="No such mailbox here")` prints `550 5.1.1 No such mailbox
here`: the class digit of the enhanced code (RFC 3463) is the first digit of the basic code
(RFC 5321, 4.2.1), so the two cannot disagree.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """One SMTP reply; `detail` is subject and detail of the enhanced code, None without one."""

    basic: int
    detail: tuple[int, int] | None
    text: str

    @property
    def enhanced(self) -> str:
        """The enhanced status code, such as `5.1.1`, or an empty string."""
        if self.detail is None:
            return ""
        return f"{self.basic // 100}.{self.detail[0]}.{self.detail[1]}"

    @property
    def is_positive(self) -> bool:
        return self.basic < 400

    @property
    def is_transient(self) -> bool:
        return 400 <= self.basic < 500

    @property
    def is_permanent(self) -> bool:
        return self.basic >= 500

    def __str__(self) -> str:
        code = self.enhanced
        return f"{self.basic} {code} {self.text}" if code else f"{self.basic} {self.text}"


RECIPIENT_OK = Reply(250, (1, 5), "Recipient ok")
SERVICE_AWAY = Reply(451, (3, 0), "Temporary trouble here, please try again later")
