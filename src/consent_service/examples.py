"""The example person and the example client, so that every example in the docs page runs as it stands."""

from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

from consent_service.core.clients import Client, Scope
from consent_service.core.consent import Action, Method, Role
from consent_service.core.decision import Decision, Question
from consent_service.core.guardianship import guardianship_id
from consent_service.core.ledger import JsonObject
from consent_service.core.people import Identifier
from consent_service.core.policy import Purpose, Text
from consent_service.core.policy_file import to_document
from consent_service.operations import checks, clients, consents, guardianships, people, policies
from consent_service.operations.checks import Case
from consent_service.operations.clients import NewClient
from consent_service.operations.consents import Call, Said
from consent_service.operations.guardianships import NewGuardianship
from consent_service.operations.people import NewSubject
from consent_service.policies import shipped
from consent_service.store import decisions
from consent_service.store.db import WriteTx

SUBJECT = "sub_00000000000000000000001001"
IDENTIFIER, TWICE = Identifier("person", "1001"), Identifier("person", "1002")
CHILD = "sub_00000000000000000000003001"
CHILD_IDENTIFIER = Identifier("sis", "S-3001")
FATHER, GRANDMOTHER = Identifier("person", "3002"), Identifier("person", "3003")
GUARDIANSHIP = guardianship_id(CHILD, 1)
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
    purposes, a decision, a family, and a second record of the example person; once."""
    operator = Client("operator", "operator", frozenset(Scope), (), (), None, None, tx.now)
    if await people.exists(tx, IDENTIFIER):
        return
    await people.create(tx, operator, NewSubject((IDENTIFIER,), language="ja"), zone=zone, subject=SUBJECT)
    new = NewClient("example", (Scope.CHECK, Scope.CONSENTS_WRITE))
    made = await clients.create(tx, None, new, client_id=CLIENT)
    said = await _call(tx, tx.keyring.key_hash(made.key))
    await consents.record(tx, [said], zone=zone)
    question = Question(IDENTIFIER, "billing")
    for answer in await checks.answer_for(tx, made.client, [Case(made.client, question)], zone=zone, recorded=False):
        if isinstance(answer, Decision):
            await decisions.record(tx, [answer._replace(id=DECISION)])
    await _add_family(tx, operator, zone)
    await consents.record(tx, [said._replace(subject=TWICE)], zone=zone)
    await _add_grandmother(tx, operator, said, zone)


async def _add_family(tx: WriteTx, operator: Client, zone: ZoneInfo) -> None:
    """A child with a father whom nobody has verified yet."""
    child, father = NewSubject((CHILD_IDENTIFIER,), birth_date=date(2014, 5, 2)), NewSubject((FATHER,))
    await people.create(tx, operator, child, zone=zone, subject=CHILD)
    await people.create(tx, operator, father, zone=zone)
    of_both = NewGuardianship(FATHER, CHILD_IDENTIFIER, "father")
    await guardianships.create(tx, operator, of_both, zone=zone)


async def _add_grandmother(tx: WriteTx, operator: Client, said: Call, zone: ZoneInfo) -> None:
    """A guardian of the child who was verified, and who said yes: till the child comes of age."""
    await people.create(tx, operator, NewSubject((GRANDMOTHER,)), zone=zone)
    of_both = NewGuardianship(GRANDMOTHER, CHILD_IDENTIFIER, "grandmother", verified_by="front office")
    await guardianships.create(tx, operator, of_both, zone=zone)
    by_her = said._replace(subject=CHILD_IDENTIFIER, role=Role.GUARDIAN, speaker=GRANDMOTHER)
    await consents.record(tx, [by_her], zone=zone)


async def _call(tx: WriteTx, key_hash: str) -> Call:
    said = tuple(Said(purpose, Action.GRANT) for purpose in _SAID)
    version = (await policies.in_force(tx)).policy.version
    return Call(key_hash, IDENTIFIER, said, Role.SUBJECT, Method.WEB_FORM, version)
