"""The check: many questions, one snapshot, each decision on record before its answer leaves."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from consent_service.core import ids
from consent_service.core.clients import Client, Scope, authenticated
from consent_service.core.decision import Decision, Question, Verdict, decide
from consent_service.core.errors import ClientNotPermitted, ConsentError, InvalidInput, PurposeNotFound, Unavailable
from consent_service.core.people import Pseudonym, Reference
from consent_service.core.policy import Policy
from consent_service.core.projection import SubjectState
from consent_service.operations import past, policies
from consent_service.operations.past import Moment
from consent_service.store import decisions, people, projection
from consent_service.store import ledger as ledger_store
from consent_service.store import policies as policy_store
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.projection import Facts

STREAM_PAGE = 1000
"""How many subjects are decided in one transaction of a stream."""

_PAGE = 500


class Asked(NamedTuple):
    """A question, and the hash of the key with which it was asked."""

    key_hash: str
    question: Question


class Case(NamedTuple):
    """A question, and the client that it is decided for: whoever asks, or another one."""

    client: Client
    question: Question


@dataclass(frozen=True, slots=True)
class PermittedPage:
    """The permitted subjects of a page, each with its identifiers in the namespace; `next` is where to go on behind."""

    items: tuple[tuple[Decision, tuple[str, ...]], ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class PastAnswer:
    """What would have been answered at a past moment."""

    question: Question
    verdict: Verdict
    policy_version: str
    then: Moment


@dataclass(frozen=True, slots=True)
class Filtered:
    """The answers to one purpose asked for many subjects, in order; `id` names the decision as a whole."""

    id: str
    answers: tuple[Decision, ...]


async def answer(tx: WriteTx, asked: Sequence[Asked], *, zone: ZoneInfo) -> Sequence[Decision | ConsentError]:
    """Decide each question, in order, and write every decision in this transaction."""
    answers = await answer_unrecorded(tx, asked, zone=zone)
    await decisions.record(tx, [one for one in answers if isinstance(one, Decision)])
    return answers


async def answer_unrecorded(tx: ReadTx, asked: Sequence[Asked], *, zone: ZoneInfo) -> Sequence[Decision | ConsentError]:
    """Decide each question, in order; one's error is its own."""
    facts = await projection.facts_for(tx, {one.key_hash for one in asked}, [one.question.subject for one in asked])
    policy = await policy_of(tx, facts)
    names = ids.decision_ids(facts.at, tx.entropy, len(asked))
    return [
        _for_key(name, one, facts, state, policy, zone)
        for name, one, state in zip(names, asked, facts.states, strict=True)
    ]


async def answer_for(
    tx: WriteTx, caller: Client, cases: Sequence[Case], *, zone: ZoneInfo, recorded: bool = True
) -> Sequence[Decision | ConsentError]:
    """Decide many questions of one caller from one snapshot, in order; one's error is its own.

    Page by page, so that single checks get their turns in between.
    """
    answers: list[Decision | ConsentError] = []
    for begin in range(0, len(cases), _PAGE):
        answers += await _page(tx, caller, cases[begin : begin + _PAGE], zone)
    if recorded:
        await decisions.record(tx, [one for one in answers if isinstance(one, Decision)])
    return answers


async def answer_all(
    tx: WriteTx,
    caller: Client,
    asked: Sequence[Question | ConsentError],
    *,
    zone: ZoneInfo,
    recorded: bool = True,
) -> Sequence[Decision | ConsentError]:
    """Decide a batch of the caller's own questions; one that comes as an error is its own answer."""
    cases = [Case(caller, one) for one in asked if not isinstance(one, ConsentError)]
    answers = iter(await answer_for(tx, caller, cases, zone=zone, recorded=recorded))
    return [one if isinstance(one, ConsentError) else next(answers) for one in asked]


async def answer_as_of(
    tx: ReadTx, caller: Client, question: Question, *, as_of: int | None, at: datetime | None, zone: ZoneInfo
) -> PastAnswer:
    """What a check at a past moment would have answered, from the ledger. It is no decision, so none is recorded.

    Raises InvalidInput for a moment that never was, or for an idle `within`.
    """
    then = await past.moment(tx, as_of=as_of, at=at)
    policy = await past.policy_at(tx, then)
    if idle := idle_within(question, policy):
        raise idle
    state = await _seen_then_and_now(tx, caller, question.subject, then.as_of)
    return PastAnswer(question, decide(question, caller, policy, state, now=then.at, zone=zone), policy.version, then)


async def _seen_then_and_now(tx: ReadTx, caller: Client, who: Reference, as_of: int) -> SubjectState | None:
    """The state of whom the reference named then, if the caller may see the person today as well."""
    state = visible(await past.known_at(tx, who, as_of), caller)
    if state is None or not caller.namespaces:
        return state
    today = await past.known_at(tx, Pseudonym(state.subject), await ledger_store.size(tx))
    return state if visible(today, caller) else None


async def filtered(
    tx: WriteTx,
    caller: Client,
    purpose: str,
    within: str | None,
    subjects: Sequence[Reference],
    *,
    zone: ZoneInfo,
    recorded: bool = True,
) -> Filtered:
    """Decide one purpose for many subjects, in order. Each decision is on record as a part of the whole one.

    Raises InvalidInput for an idle `within`.
    """
    cases = [Case(caller, Question(subject, purpose, within)) for subject in subjects]
    answers: list[Decision] = []
    for one in await answer_for(tx, caller, cases, zone=zone, recorded=False):
        if isinstance(one, ConsentError):
            raise one
        answers.append(one)
    (name,) = ids.decision_ids(answers[0].at, tx.entropy, 1)
    if recorded:
        await decisions.record_filter(tx, name, answers)
    return Filtered(name, tuple(answers))


async def permitted_page(
    tx: WriteTx,
    caller: Client,
    client: Client,
    purpose: str,
    within: str | None,
    *,
    namespace: str,
    after: str,
    limit: int,
    zone: ZoneInfo,
    recorded: bool = True,
) -> PermittedPage:
    """Decide for the next `limit` subjects of a namespace, behind the pseudonym `after`, and give those with a yes.

    Only the yeses are answers that leave, so only they are recorded.
    """
    names = await people.subjects_in(tx, namespace, after=after, limit=limit)
    questions = [Question(Pseudonym(name), purpose, within) for name in names]
    decided = await answer_for(tx, caller, [Case(client, one) for one in questions], zone=zone, recorded=False)
    yeses = [one for one in decided if isinstance(one, Decision) and one.verdict.permitted and one.subject]
    if recorded:
        await decisions.record(tx, yeses)
    named = await people.identifiers_in(tx, namespace, [one.subject for one in yeses if one.subject])
    items = tuple((one, named[one.subject]) for one in yeses if one.subject in named)
    return PermittedPage(items, names[-1] if len(names) == limit else None)


async def permitted(
    tx: WriteTx,
    caller: Client,
    purpose: str,
    within: str | None,
    *,
    namespace: str,
    after: str,
    zone: ZoneInfo,
    recorded: bool = True,
) -> PermittedPage:
    """A page of the subjects of a namespace whose data the caller may use for a purpose.

    Raises PurposeNotFound, ClientNotPermitted, or InvalidInput for a `within` that is idle or missing.
    """
    _refuse_unaskable(caller, (await policies.in_force(tx)).policy, purpose, within, namespace)
    return await permitted_page(
        tx,
        caller,
        caller,
        purpose,
        within,
        namespace=namespace,
        after=after,
        limit=STREAM_PAGE,
        zone=zone,
        recorded=recorded,
    )


async def _page(tx: WriteTx, caller: Client, cases: Sequence[Case], zone: ZoneInfo) -> list[Decision | ConsentError]:
    facts = await projection.facts_for(tx, (), [case.question.subject for case in cases])
    policy = await policy_of(tx, facts)
    names = ids.decision_ids(facts.at, tx.entropy, len(cases))
    return [
        _answered(name, case, facts, state, policy, zone, caller)
        for name, case, state in zip(names, cases, facts.states, strict=True)
    ]


def _for_key(
    name: str, one: Asked, facts: Facts, state: SubjectState | None, policy: Policy, zone: ZoneInfo
) -> Decision | ConsentError:
    try:
        client = authenticated(facts.clients.get(one.key_hash), Scope.CHECK, facts.at)
    except ConsentError as error:
        return error
    return _answered(name, Case(client, one.question), facts, state, policy, zone, client)


def _answered(
    name: str, case: Case, facts: Facts, found: SubjectState | None, policy: Policy, zone: ZoneInfo, caller: Client
) -> Decision | ConsentError:
    question, client = case.question, case.client
    if idle := idle_within(question, policy):
        return idle
    state = visible(visible(found, client), caller)
    verdict = decide(question, client, policy, state, now=facts.at, zone=zone)
    return Decision(
        name,
        facts.at,
        client.id,
        state.subject if state else None,
        question,
        verdict,
        policy.version,
        facts.as_of,
        None if caller is client else caller.id,
    )


async def policy_of(tx: ReadTx, facts: Facts) -> Policy:
    """The policy in force, compiled. Raises Unavailable while there is none: no policy, no answer."""
    policy = await policy_store.compiled(tx, facts.version) if facts.version else None
    if policy is None:
        raise Unavailable("No policy version is in force yet.")
    return policy


def _refuse_unaskable(caller: Client, policy: Policy, purpose: str, within: str | None, namespace: str) -> None:
    asked = policy.find(purpose)
    if asked is None:
        raise PurposeNotFound(policy.unknown_sentence(purpose))
    codes = [purpose] if within is None else [purpose, within]
    if not caller.may_touch(namespace) or not all(map(caller.may_ask_for, codes)):
        raise ClientNotPermitted("This client is not registered for this purpose or this namespace.")
    if asked.concomitant == (within is None):
        raise InvalidInput.at("query/within", "a concomitant use names another purpose here, and no other use does")


def visible(state: SubjectState | None, client: Client) -> SubjectState | None:
    """The state, if the subject has an identifier in the client's namespaces; else it is unknown."""
    return state if state and client.sees(state.visible_in) else None


def idle_within(question: Question, policy: Policy) -> InvalidInput | None:
    """The error of a question that names `within` for a purpose that is not concomitant."""
    asked = policy.find(question.purpose)
    if question.within is not None and asked and not asked.concomitant:
        return InvalidInput.at("/within", "only a concomitant use names another purpose; leave `within` out")
    return None
