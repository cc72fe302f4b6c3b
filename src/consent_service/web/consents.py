"""Recording what people say, and reading what stands."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict, Field, ValidationError, WrapValidator, model_validator

from consent_service.core import ledger
from consent_service.core.clients import Scope
from consent_service.core.consent import Action, Method, NotApplied, Role, StateName
from consent_service.examples import SUBJECT
from consent_service.operations import standings
from consent_service.operations.consents import Call, Recorded, RecordedEntry, Said
from consent_service.operations.standings import LeafState
from consent_service.store.ledger import Entry
from consent_service.web.answers import Plain, optional_text
from consent_service.web.auth import with_scope
from consent_service.web.bodies import Body, InstantIn, StrictRoute
from consent_service.web.checks import PurposeCode
from consent_service.web.deps import IdempotencyKey, InRoom, Reader, Room, fingerprints, pseudonym, reads
from consent_service.web.openapi import READING, WRITING, Tag
from consent_service.web.outputs import Instant, Output
from consent_service.web.problems import documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.CONSENTS])

SubPath = Annotated[str, Path(description="The person's `sub_…`.", openapi_examples={"example": {"value": SUBJECT}})]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many items at most.")]


def _either(value: object, read: Callable[[object], datetime | int]) -> datetime | int:
    """One fault for a text that is neither, in place of one for each."""
    try:
        return read(value)
    except ValidationError:
        raise ValueError("an instant with an offset is needed here, or a size of the ledger") from None


MomentIn = Annotated[int | InstantIn, WrapValidator(_either)]


class StatementIn(Body):
    """What is said about one purpose. On a branch it is said of each of its leaves."""

    purpose: PurposeCode
    action: Action
    made_at: InstantIn | None = Field(default=None, description="If it differs from the call's.")
    expires_at: InstantIn | None = Field(default=None, description="For a grant: when the yes ends by itself.")


class ByIn(Body):
    """Who makes the statements. `staff` names who of the staff took them down on somebody's behalf."""

    role: Role
    subject: str | None = Field(
        default=None,
        min_length=1,
        max_length=300,
        description="The guardian who speaks; with another role, nobody but the person.",
    )
    staff: str | None = Field(default=None, min_length=1, max_length=200)

    @model_validator(mode="after")
    def _complete(self) -> "ByIn":
        if self.role is Role.STAFF and self.staff is None:
            raise ValueError("the role staff needs `staff`: who took the statements down")
        if self.role is Role.GUARDIAN and self.subject is None:
            raise ValueError("the role guardian needs `subject`: who the guardian is")
        return self


class ConsentsIn(Body):
    """Statements of one person, recorded all or not at all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "subject": "person:1001",
                    "statements": [
                        {"purpose": "billing", "action": "grant"},
                        {"purpose": "marketing", "action": "refuse"},
                    ],
                    "by": {"role": "staff", "staff": "front office"},
                    "method": "paper",
                    "policy_version": "2026-11-01",
                    "made_at": "2026-11-20T10:00:00+09:00",
                    "evidence": {"form": "enrolment form, binder 3, page 14"},
                }
            ]
        }
    )

    subject: str = Field(min_length=1, max_length=300, description="`namespace:id`, an id, or `sub_…`.")
    statements: list[StatementIn] = Field(min_length=1, max_length=100)
    by: ByIn
    method: Method
    policy_version: str = Field(min_length=1, max_length=64, description="The version that the person was shown.")
    made_at: InstantIn | None = Field(default=None, description="When the person said it; now, if left out.")
    expires_at: InstantIn | None = Field(default=None, description="For all grants that have none of their own.")
    evidence: dict[str, str] | Annotated[str, Field(max_length=4000)] | None = Field(
        default=None, description="Where the proof lies, such as the binder and page. Stored encrypted."
    )


class EntryOut(Output):
    """What became of one statement."""

    index: int
    purpose: str
    action: Action
    applied: bool = Field(description="Whether it changed what stands, for at least one leaf.")
    applied_to: list[str]
    not_applied_because: NotApplied | None


class LeafOut(Output):
    """What stands for one leaf."""

    state: StateName
    index: int | None = Field(description="The ledger entry that it rests on.")
    made_at: Instant | None
    expires_at: Instant | None
    wording: int | None = Field(description="The number of the wording that was shown.")


class RecordedOut(Output):
    """What was recorded. `states` are the leaves that the statements name, as they stand now."""

    subject: str
    entries: list[EntryOut]
    states: dict[str, LeafOut]
    as_of: int
    receipts: list[str] = Field(description="Where the signed receipts lie, one for each statement, in order.")


class StatesOut(Output):
    """What stands for every leaf of the policy in force, the never-asked ones too."""

    subject: str
    policy_version: str
    states: dict[str, LeafOut]
    as_of: int


class StatementOut(Output):
    """One statement, as it was made and as it was recorded."""

    index: int
    at: Instant
    recorded_by: str
    purpose: str
    action: Action
    leaves: dict[str, int] = Field(description="The leaves it names, with the number of the wording shown.")
    applied: bool
    applied_to: list[str]
    not_applied_because: NotApplied | None
    role: Role
    speaker: str | None
    staff: str | None
    method: Method
    policy_version: str
    made_at: Instant
    expires_at: Instant | None
    evidence: dict[str, str] | str | None


class HistoryOut(Output):
    """A page of statements. `next` goes into `after` for the next page; null at the end."""

    items: list[StatementOut]
    next: int | None


@router.post(
    "/v1/consents",
    operation_id="recordConsents",
    summary="Record what a person said: yes, no, or no longer",
    status_code=201,
    responses=documented(
        *WRITING, "client_not_permitted", "subject_not_found", "guardian_required", "own_consent_required"
    ),
)
async def record(
    body: ConsentsIn,
    room: InRoom,
    key_hash: Annotated[str, with_scope(Scope.CONSENTS_WRITE)],
    key: IdempotencyKey = None,
) -> RecordedOut:
    """Enter a form, a phone call or a click: `grant`, `refuse` or `withdraw`, for one or more purposes.

    A refusal or withdrawal takes effect at once. A paper grant that is found late does not undo a newer no: it is
    recorded with `applied: false`. Someone who is not known yet is recorded along with the first statement.

    For a child, a yes counts from a verified guardian only; one that cannot count is refused, saying what is missing.

    A call is recorded whole or not at all, so let a withdrawal not wait for a yes that may be refused: send it first.
    """
    return RecordedOut.model_validate(plain(await room.statements.ask(call(body, room, key_hash, key))))


@router.get(
    "/v1/subjects/{sub}/consents",
    operation_id="readConsents",
    summary="See what a person has agreed to",
    responses=documented(*READING, "subject_not_found"),
)
async def states(
    sub: SubPath,
    reader: Annotated[Reader, reads(Scope.CONSENTS_READ)],
    at: Annotated[
        MomentIn | None,
        Query(description="A past instant, or a size of the ledger; needs `audit:read` as well."),
    ] = None,
) -> StatesOut:
    """Every purpose of the policy with what stands for it now, including those the person was never asked about."""
    if at is None:
        return StatesOut.model_validate(await reader.run(standings.states, pseudonym(sub), zone=reader.room.zone))
    return StatesOut.model_validate(await reader.run(standings.states_at, pseudonym(sub), at, zone=reader.room.zone))


@router.get(
    "/v1/subjects/{sub}/history",
    operation_id="readHistory",
    summary="See everything a person ever said",
    responses=documented(*READING, "subject_not_found"),
)
async def history(
    sub: SubPath,
    reader: Annotated[Reader, reads(Scope.CONSENTS_READ)],
    after: Annotated[int, Query(ge=-1, description="Go on behind this index.")] = -1,
    limit: Limit = 100,
) -> HistoryOut:
    """All statements in the order in which they were recorded, a page at a time."""
    entries, following = await reader.run(standings.history, pseudonym(sub), after=after, limit=limit)
    return HistoryOut(items=[_statement(entry) for entry in entries], next=following)


def call(body: ConsentsIn, room: Room, key_hash: str, key: str | None = None) -> Call:
    """What one request wants recorded, as it goes into the lane."""
    return Call(
        key_hash,
        room.reference(body.subject, "/subject"),
        tuple(_said(statement, body) for statement in body.statements),
        body.by.role,
        body.method,
        body.policy_version,
        room.reference(body.by.subject, "/by/subject") if body.by.subject else None,
        body.by.staff,
        {**body.evidence} if isinstance(body.evidence, dict) else body.evidence,
        key,
        fingerprints(room.database, body) if key else (),
    )


def _said(statement: StatementIn, body: ConsentsIn) -> Said:
    shared_expiry = body.expires_at if statement.action is Action.GRANT else None
    return Said(
        statement.purpose,
        statement.action,
        statement.made_at or body.made_at,
        statement.expires_at or shared_expiry,
    )


def plain(answer: Recorded) -> Plain:
    """The members of a RecordedOut, in its order."""
    return {
        "subject": answer.subject,
        "entries": [_plain_entry(entry) for entry in answer.entries],
        "states": {leaf: _plain_leaf(state) for leaf, state in answer.states.items()},
        "as_of": answer.as_of,
        "receipts": [f"/v1/receipts/{entry.index}" for entry in answer.entries],
    }


def _plain_entry(entry: RecordedEntry) -> Plain:
    return {
        "index": entry.index,
        "purpose": entry.purpose,
        "action": entry.action,
        "applied": bool(entry.applied),
        "applied_to": [*entry.applied],
        "not_applied_because": entry.not_applied_because,
    }


def _plain_leaf(state: LeafState) -> Plain:
    return {
        "state": state.state,
        "index": state.index,
        "made_at": optional_text(state.made_at),
        "expires_at": optional_text(state.expires_at),
        "wording": state.wording,
    }


def _statement(entry: Entry) -> StatementOut:
    if not isinstance(entry.body, ledger.StatementMade):
        raise TypeError("a history has statements only")
    said = entry.body.model_dump(exclude={"kind", "commitment", "subject", "applied"})
    detail = entry.detail or {}
    return StatementOut.model_validate(
        {
            **said,
            "index": entry.index,
            "applied": bool(entry.body.applied),
            "applied_to": entry.body.applied,
            "staff": detail.get("staff"),
            "evidence": detail.get("evidence"),
        }
    )
