"""What the DNS says, whoever asks: said by a test, without a server."""

from __future__ import annotations

from routing.records.values import Answer, Outcome, Question, Seen

NAME = "acme.example"


class Dns:
    """What everybody says; a name that nothing was published at is NXDOMAIN."""

    def __init__(self) -> None:
        self.zone: dict[Question, Answer] = {}
        self.asked: list[Question] = []

    async def ask(self, questions):
        self.asked += questions
        nothing = Answer(Outcome.NXDOMAIN)
        answers = {one: self.zone.get(one, nothing) for one in questions}
        return {one: Seen((answer, answer), answer) for one, answer in answers.items()}

    def publish(self, name: str, type: str, *values: str) -> None:
        self.zone[Question(name, type)] = Answer(Outcome.FOUND, values)

    def prove(self, person) -> None:
        from tenants.models import ClaimedDomain

        token = ClaimedDomain.objects.get(tenant=person.tenant, name=NAME).token
        self.publish(f"_mxax-challenge.{NAME}", "TXT", f"mxax-verify={token}")

    def publish_keys(self, *keys: object) -> None:
        for key in keys:
            self.publish(str(key), "TXT", f"v=DKIM1; {key.public}")

    def fail(self) -> None:
        self.zone = dict.fromkeys(self.zone, Answer(Outcome.UNKNOWN, detail="SERVFAIL"))
