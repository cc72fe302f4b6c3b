"""The example person and the example client, so that every example in the docs page runs as it stands."""

from zoneinfo import ZoneInfo

from consent_service.core.clients import Client, Scope
from consent_service.core.decision import Decision, Question
from consent_service.core.people import Identifier
from consent_service.operations import checks, clients, people
from consent_service.operations.checks import Case
from consent_service.operations.clients import NewClient
from consent_service.operations.people import NewSubject
from consent_service.store import decisions
from consent_service.store.db import WriteTx

SUBJECT = "sub_00000000000000000000001001"
IDENTIFIER = Identifier("person", "1001")
DECISION = "dec_7ZZZZZZZZZ0000000000001001"  # sorts as the newest, so that retention leaves it alone
CLIENT = "cli_00000000000000000000001001"


async def add(tx: WriteTx, *, zone: ZoneInfo) -> None:
    """Record the example person, under a fixed pseudonym, a client to try revoking on, and a decision; once."""
    operator = Client("operator", "operator", frozenset(Scope), (), (), None, None, tx.now)
    if await people.exists(tx, IDENTIFIER):
        return
    await people.create(tx, operator, NewSubject((IDENTIFIER,), language="ja"), zone=zone, subject=SUBJECT)
    made = await clients.create(tx, None, NewClient("example", (Scope.CHECK,)), client_id=CLIENT)
    question = Question(IDENTIFIER, "billing")
    for answer in await checks.answer_for(tx, made.client, [Case(made.client, question)], zone=zone, recorded=False):
        if isinstance(answer, Decision):
            await decisions.record(tx, [answer._replace(id=DECISION)])
