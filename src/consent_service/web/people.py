"""Recording people, finding them, changing what is known about them."""

from datetime import date
from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import ConfigDict, Field, model_validator

from consent_service.core.clients import Scope
from consent_service.core.people import Membership, MembershipStatus
from consent_service.core.policy import SubjectKind
from consent_service.operations import people
from consent_service.operations.people import NewSubject, Person, SubjectChange
from consent_service.web import forms
from consent_service.web.bodies import Body, DateIn, StrictRoute
from consent_service.web.consents import SubPath
from consent_service.web.deps import Reader, Room, Writer, changes, pseudonym, reads, writes
from consent_service.web.openapi import ASKING, READING, WRITING, Tag
from consent_service.web.outputs import Output
from consent_service.web.problems import documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.PEOPLE])

IdentifierIn = Annotated[str, Field(min_length=1, max_length=300, examples=["sis:S-1001"])]
LanguageIn = Annotated[str, Field(pattern=forms.LANGUAGE, examples=["ja"])]


class MembershipIn(Body):
    """Whether the person belongs to the school; `ended_on` is the first day without membership, today if left out."""

    status: MembershipStatus
    ended_on: DateIn | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.status is MembershipStatus.ACTIVE and self.ended_on is not None:
            raise ValueError("an active membership has no `ended_on`")
        return self

    def membership(self) -> Membership:
        """The value."""
        return Membership(self.status, self.ended_on)


class SubjectIn(Body):
    """A person to be recorded."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"identifiers": ["sis:S-2001", "crm:hanako@example.jp"], "birth_date": "2014-05-02"}]
        }
    )

    identifiers: list[IdentifierIn] = Field(min_length=1, max_length=20)
    kind: SubjectKind | None = Field(default=None, description="From the first identifier's namespace, if left out.")
    birth_date: DateIn | None = None
    language: LanguageIn | None = None
    membership: MembershipIn | None = None


class SubjectPatch(Body):
    """What to change; members that are left out stay as they are, `null` clears `birth_date` or `language`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"language": "en", "add_identifiers": ["crm:taro@example.jp"]}]}
    )

    kind: SubjectKind | None = None
    birth_date: DateIn | None = None
    language: LanguageIn | None = None
    membership: MembershipIn | None = None
    add_identifiers: list[IdentifierIn] = Field(default_factory=list, max_length=20)
    remove_identifiers: list[IdentifierIn] = Field(default_factory=list, max_length=20)


class LookupIn(Body):
    """Whom to find."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"subject": "person:1001"}]})

    subject: str = Field(min_length=1, max_length=300, description="`namespace:id`, an id, or `sub_…`.")


class FoundOut(Output):
    """The pseudonym under which URLs and the ledger know the person."""

    subject: str


class MembershipOut(Output):
    """Whether the person belongs to the school."""

    status: MembershipStatus
    ended_on: date | None


class SubjectOut(Output):
    """A person, as far as this client may see: identifiers in its own namespaces only."""

    subject: str
    kind: SubjectKind
    membership: MembershipOut
    identifiers: list[str]
    birth_date: date | None
    language: str | None
    as_of: int


@router.post(
    "/v1/subjects/lookup",
    operation_id="lookUpSubject",
    summary="Find a person",
    responses=documented(*ASKING, "subject_not_found"),
)
async def look_up(body: LookupIn, reader: Annotated[Reader, reads(Scope.PEOPLE_READ)]) -> FoundOut:
    """From a number or an address in one of the school's systems to the `sub_…` that the other operations take."""
    who = reader.room.reference(body.subject, "/subject")
    return FoundOut(subject=await reader.run(people.look_up, who))


@router.post(
    "/v1/subjects",
    operation_id="createSubject",
    summary="Record a new person",
    status_code=201,
    responses=documented(*WRITING, "client_not_permitted", "identifier_taken"),
)
async def create(body: SubjectIn, writer: Annotated[Writer, writes(Scope.PEOPLE_WRITE)]) -> SubjectOut:
    """With one or several identifiers, from the systems in which the person is known."""
    room = writer.room
    person = await writer.once("create_subject", body, Person, people.create, _new_subject(body, room), zone=room.zone)
    return SubjectOut.model_validate(person)


@router.get(
    "/v1/subjects/{sub}",
    operation_id="readSubject",
    summary="See what is known about a person",
    responses=documented(*READING, "subject_not_found"),
)
async def read(sub: SubPath, reader: Annotated[Reader, reads(Scope.PEOPLE_READ)]) -> SubjectOut:
    """Identifiers, kind, birth date, language and membership."""
    return SubjectOut.model_validate(await reader.run(people.read, pseudonym(sub)))


@router.patch(
    "/v1/subjects/{sub}",
    operation_id="changeSubject",
    summary="Change what is known about a person",
    responses=documented(*WRITING, "client_not_permitted", "subject_not_found", "identifier_taken"),
)
async def change(
    sub: SubPath, body: SubjectPatch, writer: Annotated[Writer, changes(Scope.PEOPLE_WRITE)]
) -> SubjectOut:
    """End a membership, correct a birth date, or link an identifier from another system."""
    room = writer.room
    person = await writer.run(people.change, pseudonym(sub), _change(body, room), zone=room.zone)
    return SubjectOut.model_validate(person)


def _new_subject(body: SubjectIn, room: Room) -> NewSubject:
    return NewSubject(
        room.identifiers(body.identifiers, "/identifiers"),
        body.kind,
        body.birth_date,
        body.language,
        body.membership.membership() if body.membership else None,
    )


def _change(body: SubjectPatch, room: Room) -> SubjectChange:
    facts: dict[str, date | str | None] = {"birth_date": body.birth_date, "language": body.language}
    return SubjectChange(
        body.kind,
        {name: value for name, value in facts.items() if name in body.model_fields_set},
        body.membership.membership() if body.membership else None,
        room.identifiers(body.add_identifiers, "/add_identifiers"),
        room.identifiers(body.remove_identifiers, "/remove_identifiers"),
    )
