"""OpenID AuthZEN on the service's own engine: evaluations and searches, each decision on record like any other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from consent_service.core import authzen
from consent_service.core.authzen import (
    LONGEST_ACTION,
    Action,
    ActionSearch,
    Entity,
    Evaluation,
    ResourceSearch,
    Search,
    Semantic,
    SubjectSearch,
    Vocabulary,
)
from consent_service.core.clients import Client, Scope
from consent_service.core.decision import Decision, Question
from consent_service.core.errors import ConsentError, InvalidInput, ScopeMissing
from consent_service.core.people import Identifier
from consent_service.core.policy import Policy
from consent_service.core.reasons import Reason, ReasonCode
from consent_service.operations import checks, policies
from consent_service.operations.checks import Case
from consent_service.store import clients, decisions
from consent_service.store.db import ReadTx, WriteTx


@dataclass(frozen=True, slots=True)
class Unknown:
    """The answer about a client, a purpose or a person that does not exist: a no, which nothing was decided for."""

    reason: Reason


Answer = Decision | Unknown | ConsentError
"""A decision; what is unknown; or the fault of this very evaluation, which is a no as well."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which page of a search: how many are looked at, and the token of the page before."""

    limit: int
    token: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of results. `token` leads to the next one, and is empty at the end."""

    results: Sequence[str]
    token: str


Results = tuple[Sequence[str], str | None]
"""The results of a page, and what the next one lies behind; None at the end."""

NOTHING: Results = ((), None)


@dataclass(frozen=True, slots=True)
class Terms:
    """How questions are read and answered here."""

    vocabulary: Vocabulary
    zone: ZoneInfo
    recorded: bool


async def evaluate(
    tx: WriteTx,
    caller: Client,
    asked: Sequence[Evaluation | ConsentError],
    semantic: Semantic = Semantic.EXECUTE_ALL,
    *,
    terms: Terms,
) -> Sequence[Answer]:
    """Answer evaluations in order, up to the one with which the semantic ends; only those are recorded.

    An evaluation that comes as an error is its own answer (section 7.2.1).
    """
    answers = await _answers(tx, caller, asked, terms)
    kept = answers[: semantic.answered(map(is_yes, answers))]
    await _record(tx, kept, terms)
    return kept


def is_yes(answer: Answer) -> bool:
    """Whether an answer permits."""
    return isinstance(answer, Decision) and answer.verdict.permitted


async def search(tx: WriteTx, caller: Client, asked: Search, page: Page, *, terms: Terms) -> Found:
    """A page of names of clients, ids of persons or codes of purposes, each with a yes that is on record.

    Raises ScopeMissing, or InvalidInput for a token of another search.
    """
    mark = _mark(tx, asked)
    after = _begin(page, mark)
    if page.limit == 0:
        return Found((), authzen.to_token(after or "", mark))
    match asked:
        case SubjectSearch():
            results, last = await _subjects(tx, caller, asked, after, page.limit, terms)
        case ResourceSearch():
            results, last = await _resources(tx, caller, asked, after, page.limit, terms)
        case ActionSearch():
            results, last = await _actions(tx, caller, asked, after, page.limit, terms)
    return Found(results, authzen.to_token(last, mark) if last else "")


async def _subjects(
    tx: WriteTx, caller: Client, asked: SubjectSearch, after: str | None, limit: int, terms: Terms
) -> Results:
    """A caller without `audit:read` knows of itself only."""
    if asked.type not in terms.vocabulary.subject_types:
        return NOTHING
    if Scope.AUDIT_READ in caller.scopes:
        candidates = await clients.page(tx, after=after, limit=limit + 1)
    else:
        candidates = [caller]
    looked_at = candidates[:limit]
    live = [Entity(asked.type, one.name) for one in looked_at if one.is_live(tx.now)]
    evaluations = [Evaluation(one, asked.action, asked.resource) for one in live]
    names = [one.subject.id for one in await _permitted(tx, caller, evaluations, terms)]
    return names, looked_at[-1].id if len(candidates) > limit else None


async def _resources(
    tx: WriteTx, caller: Client, asked: ResourceSearch, after: str | None, limit: int, terms: Terms
) -> Results:
    namespace = asked.namespace or terms.vocabulary.default_namespace
    anybody = Evaluation(asked.subject, asked.action, Entity(asked.type, f"{namespace}:0"))
    (case,) = await _cases(tx, caller, [anybody], terms)
    if isinstance(case, ConsentError):
        raise case
    if isinstance(case, Unknown) or not case.client.may_touch(namespace):
        return NOTHING
    found = await checks.permitted_page(
        tx,
        caller,
        case.client,
        case.question.purpose,
        case.question.within,
        namespace=namespace,
        after=after or "",
        limit=limit,
        zone=terms.zone,
        recorded=terms.recorded,
    )
    return [terms.vocabulary.id_of(name) for _, names in found.items for name in names], found.next


async def _actions(
    tx: WriteTx, caller: Client, asked: ActionSearch, after: str | None, limit: int, terms: Terms
) -> Results:
    codes = [purpose.code for purpose in (await policies.in_force(tx)).policy.walk()]
    begin = codes.index(after) + 1 if after in codes else 0
    looked_at = codes[begin : begin + limit]
    evaluations = [Evaluation(asked.subject, Action(code), asked.resource) for code in looked_at]
    names = [one.action.name for one in await _permitted(tx, caller, evaluations, terms)]
    return names, looked_at[-1] if begin + limit < len(codes) else None


async def _answers(
    tx: WriteTx, caller: Client, asked: Sequence[Evaluation | ConsentError], terms: Terms
) -> Sequence[Answer]:
    """The answers in order, decided together and not yet recorded."""
    cases = await _cases(tx, caller, asked, terms)
    to_decide = [one for one in cases if isinstance(one, Case)]
    decided = iter(await checks.answer_for(tx, caller, to_decide, zone=terms.zone, recorded=False) if to_decide else ())
    return [next(decided) if isinstance(one, Case) else one for one in cases]


async def _cases(
    tx: ReadTx, caller: Client, asked: Sequence[Evaluation | ConsentError], terms: Terms
) -> Sequence[Case | Unknown | ConsentError]:
    names = {one.subject.id for one in asked if isinstance(one, Evaluation)} - {caller.name}
    known = {**await clients.live_named(tx, names), caller.name: caller}
    policy = (await policies.in_force(tx)).policy
    return [one if isinstance(one, ConsentError) else _case(caller, known, policy, one, terms) for one in asked]


async def _permitted(tx: WriteTx, caller: Client, asked: Sequence[Evaluation], terms: Terms) -> Sequence[Evaluation]:
    """Those evaluations of a search that are a yes; only they leave, so only they are recorded.

    Raises ScopeMissing.
    """
    answers = await _answers(tx, caller, asked, terms)
    for answer in answers:
        if isinstance(answer, ConsentError):
            raise answer
    yeses = [(one, answer) for one, answer in zip(asked, answers, strict=True) if is_yes(answer)]
    await _record(tx, [answer for _, answer in yeses], terms)
    return [one for one, _ in yeses]


async def _record(tx: WriteTx, answers: Sequence[Answer], terms: Terms) -> None:
    if terms.recorded:
        await decisions.record(tx, [one for one in answers if isinstance(one, Decision)])


def _case(
    caller: Client, known: Mapping[str, Client], policy: Policy, asked: Evaluation, terms: Terms
) -> Case | Unknown | ConsentError:
    """What an evaluation comes down to: a case to decide, a no at once, or an error."""
    purpose, vocabulary = asked.action.name, terms.vocabulary
    if asked.subject.type not in vocabulary.subject_types:
        return Unknown(Reason(ReasonCode.CLIENT_NOT_PERMITTED, purpose))
    if asked.subject.id != caller.name and Scope.AUDIT_READ not in caller.scopes:
        return ScopeMissing("To ask for another client than your own, the key needs the scope audit:read.")
    client = known.get(asked.subject.id)
    if client is None or Scope.CHECK not in client.scopes:
        return Unknown(Reason(ReasonCode.CLIENT_NOT_PERMITTED, purpose))
    if len(purpose) > LONGEST_ACTION:
        return Unknown(Reason(ReasonCode.PURPOSE_NOT_SPECIFIED, purpose))
    person = vocabulary.person(asked.resource)
    if person is None:
        return Unknown(Reason(ReasonCode.NO_CONSENT_RECORDED, purpose))
    question = Question(person, purpose, _within(policy, asked.action))
    if not _may_ask(caller, question):
        return Unknown(Reason(ReasonCode.CLIENT_NOT_PERMITTED, purpose))
    return Case(client, question)


def _may_ask(caller: Client, question: Question) -> bool:
    """Whoever asks for another client stays within its own registration, too."""
    namespace = question.subject.namespace if isinstance(question.subject, Identifier) else None
    purposes = [code for code in (question.purpose, question.within) if code is not None]
    return (namespace is None or caller.may_touch(namespace)) and all(map(caller.may_ask_for, purposes))


def _within(policy: Policy, action: Action) -> str | None:
    """A property that the purpose has no use for is ignored, as AuthZEN has it."""
    purpose = policy.find(action.name)
    return action.within if purpose and purpose.concomitant else None


def _begin(page: Page, mark: str) -> str | None:
    """What the page lies behind; None at the beginning. Raises InvalidInput for a token that is not of this search."""
    try:
        return authzen.from_token(page.token, mark) or None if page.token else None
    except ValueError as error:
        raise InvalidInput.at("/page/token", str(error)) from None


def _mark(tx: ReadTx, search: Search) -> str:
    """What recognises a search, without telling what was searched for."""
    return tx.keyring.search_mark(repr(search).encode())[:32]
