"""What a handler is given: the room it works in, and a desk at which one client is served."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar
from zoneinfo import ZoneInfo

from fastapi import Depends, Header, Request
from pydantic import BaseModel, TypeAdapter

from consent_service.core import ledger, people
from consent_service.core.clients import Client, Scope
from consent_service.core.decision import Decision
from consent_service.core.errors import InvalidInput, SubjectNotFound
from consent_service.core.people import Identifier, Pseudonym, Reference
from consent_service.lanes import Gate, Lane, read_in_time, snapshot_alone, view_alone, write_in_time
from consent_service.notary import Notary
from consent_service.operations import clients
from consent_service.operations.authzen import Terms
from consent_service.operations.checks import Asked
from consent_service.operations.consents import Call, Recorded
from consent_service.store import idempotency
from consent_service.store import ledger as ledger_store
from consent_service.store.db import Database, ReadTx, WriteTx
from consent_service.store.idempotency import Attempt
from consent_service.web import forms
from consent_service.web.auth import with_scope
from consent_service.web.edge import Measures

P = ParamSpec("P")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Room:
    """What the web room works with: the open database, the two lanes, the notary, what is measured, and how
    names and days are read."""

    database: Database
    checks: Lane[Asked, Decision]
    statements: Lane[Call, Recorded]
    notary: Notary
    measures: Measures
    default_namespace: str
    zone: ZoneInfo
    terms: Terms
    bulk: Gate
    counting: Gate

    @property
    def recorded(self) -> bool:
        """Whether decisions are on record before their answers leave."""
        return self.terms.recorded

    def reference(self, text: str, pointer: str) -> Reference:
        """Read a reference from a body. Raises InvalidInput that points at it."""
        try:
            return people.reference(text, default_namespace=self.default_namespace)
        except ValueError as error:
            raise InvalidInput.at(pointer, str(error)) from None

    def identifiers(self, texts: list[str], pointer: str) -> tuple[Identifier, ...]:
        """Read identifiers from a body, each once. Raises InvalidInput that points at the wrong one."""
        return tuple(dict.fromkeys(self._identifier(text, f"{pointer}/{i}") for i, text in enumerate(texts)))

    def _identifier(self, text: str, pointer: str) -> Identifier:
        read = self.reference(text, pointer)
        if isinstance(read, Pseudonym):
            raise InvalidInput.at(pointer, "an identifier of one of your systems is needed here, not a sub_…")
        return read


async def _room(request: Request) -> Room:
    room: Room = request.app.state.room
    return room


InRoom = Annotated[Room, Depends(_room)]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=forms.VISIBLE,
        description="Any text of your own, one for each intended write. A repetition with the same key and body gets "
        "the first answer and writes nothing; keys are kept for 7 days.",
    ),
]


@dataclass(frozen=True, slots=True)
class Reader:
    """A client that reads: each operation runs in one transaction that begins by looking at its key."""

    room: Room
    key_hash: str
    scope: Scope

    async def run(
        self,
        operation: Callable[Concatenate[ReadTx, Client, P], Awaitable[Answer]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Answer:
        """Run the operation for this client. Raises Unauthenticated, ScopeMissing, or what the operation raises."""

        async def for_client(tx: ReadTx) -> Answer:
            client = await clients.authenticate(tx, self.key_hash, self.scope)
            return await operation(tx, client, *args, **kwargs)

        return await read_in_time(self.room.database, for_client)


@dataclass(frozen=True, slots=True)
class Writer:
    """A client that writes, one operation in one transaction, at most once for each Idempotency-Key."""

    room: Room
    key_hash: str
    scope: Scope
    key: str | None

    @property
    def counter(self) -> "Counter":
        """The same client, for what is counted before it writes."""
        return Counter(self.room, self.key_hash, self.scope)

    async def run(
        self,
        operation: Callable[Concatenate[WriteTx, Client, P], Awaitable[Answer]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Answer:
        """Run the operation for this client. Raises Unauthenticated, ScopeMissing, or what the operation raises."""

        async def for_client(tx: WriteTx) -> Answer:
            client = await clients.authenticate(tx, self.key_hash, self.scope)
            return await operation(tx, client, *args, **kwargs)

        return await write_in_time(self.room.database, for_client)

    async def once(
        self,
        name: str,
        body: BaseModel,
        answer_type: type[Answer],
        operation: Callable[Concatenate[WriteTx, Client, P], Awaitable[Answer]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Answer:
        """Like `run`; but a repetition with the same Idempotency-Key gets the first answer."""
        adapter, key = TypeAdapter(answer_type), self.key
        if key is None:
            return await self.run(operation, *args, **kwargs)

        async def at_most_once(tx: WriteTx, client: Client) -> Answer:
            attempt = Attempt(client.id, name, key, fingerprints(tx, body))
            await ledger_store.begin(tx)  # two attempts at once: the second waits here for the first one's answer
            before = await idempotency.first_answers(tx, [attempt])
            if attempt.name in before:
                return adapter.validate_json(before[attempt.name].for_retry(attempt))
            answer = await operation(tx, client, *args, **kwargs)
            await idempotency.remember(tx, [(attempt, adapter.dump_json(answer))])
            return answer

        return await self.run(at_most_once)


@dataclass(frozen=True, slots=True)
class Counter:
    """A client that has all people counted: that takes its time, and not too many do it at once."""

    room: Room
    key_hash: str
    scope: Scope

    async def run(
        self,
        operation: Callable[Concatenate[ReadTx, Client, P], Awaitable[Answer]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Answer:
        """Run the operation for this client.

        Raises Unauthenticated, ScopeMissing, Overloaded, or what the operation raises; and Unavailable without delay
        when the database cannot even be asked for the client.
        """

        async def for_client(tx: ReadTx) -> Answer:
            return await operation(tx, client, *args, **kwargs)

        async with self.room.counting.passed():
            authenticate = partial(clients.authenticate, key_hash=self.key_hash, scope=self.scope)
            client = await read_in_time(self.room.database, authenticate)
            return await view_alone(self.room.database, for_client)


@dataclass(frozen=True, slots=True)
class Asker:
    """A client that asks much at once: a transaction of its own, on one snapshot, and not too many at a time."""

    room: Room
    key_hash: str
    scope: Scope

    async def run(
        self,
        operation: Callable[Concatenate[WriteTx, Client, P], Awaitable[Answer]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Answer:
        """Run the operation for this client.

        Raises Unauthenticated, ScopeMissing, Overloaded, or what the operation raises.
        """

        async def for_client(tx: WriteTx) -> Answer:
            client = await clients.authenticate(tx, self.key_hash, self.scope)
            return await operation(tx, client, *args, **kwargs)

        async with self.room.bulk.passed():
            return await snapshot_alone(self.room.database, for_client)


def fingerprints(holder: ReadTx | Database, body: BaseModel) -> tuple[str, ...]:
    """What recognises a body, whatever its spelling: keyed hashes of its canonical JSON."""
    return holder.keyring.fingerprints(ledger.detail_bytes(body.model_dump(mode="json")))


def reads(scope: Scope) -> Any:  # noqa: ANN401 (FastAPI's own type for a dependency)
    """A dependency: a Reader with this scope."""

    async def reader(room: InRoom, key_hash: Annotated[str, with_scope(scope)]) -> Reader:
        return Reader(room, key_hash, scope)

    return Depends(reader)


def writes(scope: Scope) -> Any:  # noqa: ANN401 (FastAPI's own type for a dependency)
    """A dependency: a Writer with this scope, for POST."""

    async def writer(room: InRoom, key_hash: Annotated[str, with_scope(scope)], key: IdempotencyKey = None) -> Writer:
        return Writer(room, key_hash, scope, key)

    return Depends(writer)


def counts(scope: Scope) -> Any:  # noqa: ANN401 (FastAPI's own type for a dependency)
    """A dependency: a Counter with this scope."""

    async def counter(room: InRoom, key_hash: Annotated[str, with_scope(scope)]) -> Counter:
        return Counter(room, key_hash, scope)

    return Depends(counter)


def asks(scope: Scope) -> Any:  # noqa: ANN401 (FastAPI's own type for a dependency)
    """A dependency: an Asker with this scope."""

    async def asker(room: InRoom, key_hash: Annotated[str, with_scope(scope)]) -> Asker:
        return Asker(room, key_hash, scope)

    return Depends(asker)


def changes(scope: Scope) -> Any:  # noqa: ANN401 (FastAPI's own type for a dependency)
    """A dependency: a Writer with this scope, for PATCH and DELETE, which may be repeated as they are."""

    async def changer(room: InRoom, key_hash: Annotated[str, with_scope(scope)]) -> Writer:
        return Writer(room, key_hash, scope, None)

    return Depends(changer)


def pseudonym(text: str) -> Pseudonym:
    """Read the `sub_…` of a URL; what cannot be one names nobody. Raises SubjectNotFound."""
    try:
        return people.pseudonym(text)
    except ValueError:
        raise SubjectNotFound("A path takes a sub_…; find it with POST /v1/subjects/lookup.") from None


def language_of(request: Request) -> str:
    """The language that the caller prefers."""
    return language_in(request.headers.get("accept-language", ""))


def language_in(accepted: str) -> str:
    """`ja` if an Accept-Language prefers Japanese over English (RFC 9110 section 12.5.4), else `en`."""
    if "ja" not in accepted.lower():
        return "en"
    best: dict[str, float] = {}
    for part in accepted.split(","):
        tag, _, quality = part.strip().lower().partition(";q=")
        try:
            best[tag[:2]] = max(best.get(tag[:2], 0.0), float(quality or 1))
        except ValueError:
            continue
    return "ja" if best.get("ja", 0.0) > best.get("en", 0.0) else "en"


Language = Annotated[str, Depends(language_of)]
