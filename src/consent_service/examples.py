"""The example person and the example client, so that every example in the docs page runs as it stands."""

from zoneinfo import ZoneInfo

from consent_service.core.clients import Client, Scope
from consent_service.core.people import Identifier
from consent_service.operations import clients, people
from consent_service.operations.clients import NewClient
from consent_service.operations.people import NewSubject
from consent_service.store.db import WriteTx

SUBJECT = "sub_00000000000000000000001001"
IDENTIFIER = Identifier("person", "1001")
CLIENT = "cli_00000000000000000000001001"


async def add(tx: WriteTx, *, zone: ZoneInfo) -> None:
    """Record the example person, under a fixed pseudonym, and a client to try revoking on; once."""
    operator = Client("operator", "operator", frozenset(Scope), (), (), None, None, tx.now)
    if await people.exists(tx, IDENTIFIER):
        return
    await people.create(tx, operator, NewSubject((IDENTIFIER,), language="ja"), zone=zone, subject=SUBJECT)
    await clients.create(tx, None, NewClient("example", (Scope.CHECK,)), client_id=CLIENT)
