"""The example person and the example client, so that every example in the docs page runs as it stands."""

from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

from consent_service.core.clients import Client, Scope
from consent_service.core.consent import Action, Method, Role
from consent_service.core.decision import Decision, Question
from consent_service.core.ledger import JsonObject
from consent_service.core.people import Identifier
from consent_service.core.policy import Purpose, Text
from consent_service.core.policy_file import to_document
from consent_service.operations import checks, clients, consents, people, policies
from consent_service.operations.checks import Case
from consent_service.operations.clients import NewClient
from consent_service.operations.consents import Call, Said
from consent_service.operations.people import NewSubject
from consent_service.policies import shipped
from consent_service.store import decisions
from consent_service.store.db import WriteTx

SUBJECT = "sub_00000000000000000000001001"
IDENTIFIER = Identifier("person", "1001")
DECISION = "dec_7ZZZZZZZZZ0000000000001001"  # sorts as the newest, so that retention leaves it alone
CLIENT = "cli_00000000000000000000001001"
RECEIPT = 22
"""The index of a statement of the example person, in a database that was empty, whichever it is: one of a few in a row,
for PostgreSQL's first start makes one entry less."""

_SAID = ("service_provision", "identity_confirmation", "important_notices")


def _publication() -> JsonObject:
    """A version of the shipped policy that takes effect when nobody reads this any more, with one leaf reworded."""
    now = shipped()
    purposes = tuple(_reworded(one) if one.code == "billing" else one for one in now.purposes)
    later = replace(now, version="2099-04-01", effective_from=date(2099, 4, 1), source=None, purposes=purposes)
    return {"policy": to_document(later), "material": [], "editorial": ["billing"], "confirm_lapses": 0}


def _reworded(purpose: Purpose) -> Purpose:
    text = Text("For settlement and billing of product fees and service fees", purpose.wording.text.ja)
    return replace(purpose, wording=replace(purpose.wording, text=text))


PUBLICATION = _publication()


async def add(tx: WriteTx, *, zone: ZoneInfo) -> None:
    """Record the example person, under a fixed pseudonym, a client to try revoking on, what the person said of a few
    purposes, and a decision; once."""
    operator = Client("operator", "operator", frozenset(Scope), (), (), None, None, tx.now)
    if await people.exists(tx, IDENTIFIER):
        return
    await people.create(tx, operator, NewSubject((IDENTIFIER,), language="ja"), zone=zone, subject=SUBJECT)
    new = NewClient("example", (Scope.CHECK, Scope.CONSENTS_WRITE))
    made = await clients.create(tx, None, new, client_id=CLIENT)
    await consents.record(tx, [await _call(tx, tx.keyring.key_hash(made.key))], zone=zone)
    question = Question(IDENTIFIER, "billing")
    for answer in await checks.answer_for(tx, made.client, [Case(made.client, question)], zone=zone, recorded=False):
        if isinstance(answer, Decision):
            await decisions.record(tx, [answer._replace(id=DECISION)])


async def _call(tx: WriteTx, key_hash: str) -> Call:
    said = tuple(Said(purpose, Action.GRANT) for purpose in _SAID)
    version = (await policies.in_force(tx)).policy.version
    return Call(key_hash, IDENTIFIER, said, Role.SUBJECT, Method.WEB_FORM, version)
