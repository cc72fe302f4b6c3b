"""What AuthZEN's requests and answers look like (sections 5 to 9).

Unknown members of a request are ignored, so that a later version of the standard may add to it (section 10.1.1).
"""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonValue

from consent_service.core.authzen import Action, Entity, Evaluation, Semantic
from consent_service.core.decision import Decision
from consent_service.core.errors import ConsentError
from consent_service.operations.authzen import Answer, Found, Page, Unknown, is_yes
from consent_service.web import problems
from consent_service.web.answers import ReasonOut, reasons_out
from consent_service.web.outputs import Output

LARGEST_BATCH = 1000
LARGEST_PAGE = 1000
USUAL_PAGE = 100


class Part(BaseModel):
    """A part of an AuthZEN request: members that it does not know are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class PropertiesIn(Part):
    """Properties decide nothing here, but for the two that say what an id cannot."""

    properties: dict[str, object] = Field(
        default_factory=dict,
        description="Taken and ignored; but `within` of an action names the purpose that a concomitant use goes along "
        "with, and `namespace` of a searched resource the namespace to look in.",
    )

    def text(self, name: str) -> str | None:
        """A property that is a string."""
        value = self.properties.get(name)
        return value if isinstance(value, str) else None


class TypeIn(PropertiesIn):
    """What kind of subject or resource is searched for. An id is ignored."""

    type: str


class EntityIn(TypeIn):
    """A subject (a client, by its name) or a resource (a person, by `namespace:id`, an id or `sub_…`)."""

    id: str

    def entity(self) -> Entity:
        """The value."""
        return Entity(self.type, self.id)


class ActionIn(PropertiesIn):
    """What is to be done with the data: a purpose's code."""

    name: str

    def action(self) -> Action:
        """The value."""
        return Action(self.name, self.text("within"))


class PageIn(Part):
    """Which page of the results."""

    token: str | None = Field(default=None, description="The `next_token` of the page before.")
    limit: int = Field(
        default=USUAL_PAGE,
        ge=0,
        strict=True,
        description=f"How many are looked at for this page, at most {LARGEST_PAGE}; it may have fewer results.",
    )

    def page(self) -> Page:
        """The value."""
        return Page(min(self.limit, LARGEST_PAGE), self.token)


SUBJECT: JsonValue = {"type": "client", "id": "first-client"}
ACTION: JsonValue = {"name": "marketing.own_company.email"}
RESOURCE: JsonValue = {"type": "person", "id": "1001"}


def _example(**members: JsonValue) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [members]})


class EvaluationIn(Part):
    """May this client use this person's data for this purpose?"""

    model_config = _example(subject=SUBJECT, action=ACTION, resource=RESOURCE)

    subject: EntityIn
    action: ActionIn
    resource: EntityIn
    context: dict[str, object] = Field(default_factory=dict, description="Taken and ignored.")

    def evaluation(self) -> Evaluation:
        """The value."""
        return Evaluation(self.subject.entity(), self.action.action(), self.resource.entity())


class OptionsIn(Part):
    """How a batch is answered."""

    evaluations_semantic: Semantic = Semantic.EXECUTE_ALL


class EvaluationsIn(Part):
    """Many evaluations at once; `subject`, `action`, `resource` and `context` are the defaults of each."""

    model_config = _example(
        subject=SUBJECT, resource=RESOURCE, evaluations=[{"action": ACTION}, {"action": {"name": "billing"}}]
    )

    subject: dict[str, object] = Field(default_factory=dict)
    action: dict[str, object] = Field(default_factory=dict)
    resource: dict[str, object] = Field(default_factory=dict)
    context: dict[str, object] = Field(default_factory=dict)
    evaluations: list[object] = Field(
        default_factory=list,
        max_length=LARGEST_BATCH,
        description="Each as in an evaluation, without what the defaults say. None: the request is an evaluation.",
    )
    options: OptionsIn = OptionsIn()

    def defaults(self) -> dict[str, object]:
        """What holds for each evaluation unless it says otherwise."""
        given = {"subject": self.subject, "action": self.action, "resource": self.resource, "context": self.context}
        return {name: value for name, value in given.items() if name in self.model_fields_set}


class SubjectSearchIn(Part):
    """Which clients may use this person's data for this purpose?"""

    model_config = _example(subject={"type": "client"}, action=ACTION, resource=RESOURCE)

    subject: TypeIn
    action: ActionIn
    resource: EntityIn
    context: dict[str, object] = Field(default_factory=dict, description="Taken and ignored.")
    page: PageIn = PageIn()


class ResourceSearchIn(Part):
    """Whose data may this client use for this purpose?"""

    model_config = _example(subject=SUBJECT, action=ACTION, resource={"type": "person"}, page={"limit": 100})

    subject: EntityIn
    action: ActionIn
    resource: TypeIn
    context: dict[str, object] = Field(default_factory=dict, description="Taken and ignored.")
    page: PageIn = PageIn()


class ActionSearchIn(Part):
    """For which purposes may this client use this person's data?"""

    model_config = _example(subject=SUBJECT, resource=RESOURCE)

    subject: EntityIn
    resource: EntityIn
    context: dict[str, object] = Field(default_factory=dict, description="Taken and ignored.")
    page: PageIn = PageIn()


class DecidedOut(Output):
    """Why. `decision_id` and `as_of` are null where the client, the purpose or the person is unknown."""

    reasons: list[ReasonOut]
    decision_id: str | None
    as_of: int | None = Field(description="The ledger's size that the answer rests on.")


class ErrorOut(Output):
    """The fault of one evaluation; `code` is that of a problem."""

    status: int
    code: str
    message: str
    errors: list[problems.WrongMember]


class FaultedOut(Output):
    """Why there was nothing to decide."""

    error: ErrorOut


class EvaluationOut(Output):
    """The answer. Anything but HTTP 200 with `decision` being `true` is a no."""

    decision: bool
    context: DecidedOut | FaultedOut

    @classmethod
    def of(cls, answer: Answer, language: str) -> Self:
        """From the product's own value."""
        return cls(decision=is_yes(answer), context=_context(answer, language))


class EvaluationsOut(Output):
    """The answers in order; fewer than were asked for where the semantic ended the batch."""

    evaluations: list[EvaluationOut]


class PageOut(Output):
    """`next_token` leads to the next page, and is empty at the end."""

    next_token: str
    count: int

    @classmethod
    def of(cls, found: Found) -> Self:
        """From the product's own value."""
        return cls(next_token=found.token, count=len(found.results))


class EntityOut(Output):
    """A client by its name, or a person by an id."""

    type: str
    id: str


class ActionOut(Output):
    """A purpose by its code."""

    name: str


class EntitiesOut(Output):
    """A page of subjects or of resources; `page` comes first, as the standard recommends (section 8.3)."""

    page: PageOut
    results: list[EntityOut]

    @classmethod
    def of(cls, kind: str, found: Found) -> Self:
        """From the product's own value."""
        return cls(page=PageOut.of(found), results=[EntityOut(type=kind, id=one) for one in found.results])


class ActionsOut(Output):
    """A page of actions."""

    page: PageOut
    results: list[ActionOut]

    @classmethod
    def of(cls, found: Found) -> Self:
        """From the product's own value."""
        return cls(page=PageOut.of(found), results=[ActionOut(name=one) for one in found.results])


class ConfigurationOut(Output):
    """Where this decision point is (section 9.1)."""

    policy_decision_point: str
    access_evaluation_endpoint: str
    access_evaluations_endpoint: str
    search_subject_endpoint: str
    search_resource_endpoint: str
    search_action_endpoint: str

    @classmethod
    def at(cls, base: str) -> Self:
        """For the service at this address."""
        access = f"{base}/access/v1"
        return cls(
            policy_decision_point=base,
            access_evaluation_endpoint=f"{access}/evaluation",
            access_evaluations_endpoint=f"{access}/evaluations",
            search_subject_endpoint=f"{access}/search/subject",
            search_resource_endpoint=f"{access}/search/resource",
            search_action_endpoint=f"{access}/search/action",
        )


def _context(answer: Answer, language: str) -> DecidedOut | FaultedOut:
    match answer:
        case Decision(id=decision_id, verdict=verdict, as_of=as_of):
            return DecidedOut(reasons=reasons_out(verdict.reasons, language), decision_id=decision_id, as_of=as_of)
        case Unknown(reason=reason):
            return DecidedOut(reasons=reasons_out([reason], language), decision_id=None, as_of=None)
        case ConsentError():
            told = problems.problem(answer.code, answer.detail, "", answer.errors)
            return FaultedOut(
                error=ErrorOut(status=told.status, code=told.code, message=told.detail, errors=told.errors)
            )
