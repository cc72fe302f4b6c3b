"""The database counts what the documents say, as core/projection.py reads them."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from consent_service.core.consent import Action, Standing, Tally
from consent_service.core.people import Membership, MembershipStatus
from consent_service.core.policy import SubjectKind
from consent_service.core.projection import SubjectState, to_document
from consent_service.core.standings import Leaves
from consent_service.store import tallies
from consent_service.store.tables import subject_identifier, subject_state
from tests.school import School

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 11, 23, tzinfo=UTC)
LEAVES = ["billing", "marketing.own_company.email", "email", "membership", "namespaces", "kind", "never"]
EXPIRIES = [None, NOW, NOW - timedelta(milliseconds=1), NOW + timedelta(milliseconds=1)]


def states() -> list[SubjectState]:
    """Subjects with every mixture of action, expiry and wording, each for another leaf; and one without a word."""
    ended = Membership(MembershipStatus.ENDED, NOW.date())
    made = [SubjectState("sub_silent", SubjectKind.STUDENT, ended, {"sis": 1}, Leaves())]
    for number, (action, expires_at, wording) in enumerate(product(Action, EXPIRIES, (1, 12))):
        standing = Standing(action, number, NOW, expires_at, wording, None if number % 2 else NOW)
        decided = {LEAVES[number % 6]: standing, LEAVES[(number + 1) % 6]: standing}
        leaves = Leaves().changed(decided)
        made.append(SubjectState(f"sub_{number:03}", SubjectKind.CUSTOMER, Membership(), {"crm": 1}, leaves, number))
    return made


def counted(some: list[SubjectState]) -> Counter[Tally]:
    found: Counter[Tally] = Counter()
    for state in some:
        for leaf, one in state.leaves.items():
            over = one.expires_at is not None and one.expires_at <= NOW
            found[Tally(leaf, one.action, one.wording, over, 0)] += 1
    return Counter({tally._replace(subjects=number): 1 for tally, number in found.items()})


async def test_the_database_counts_as_we_do(school: School) -> None:
    some = states()
    merged = SubjectState("sub_merged", SubjectKind.STUDENT, into="sub_silent")
    rows = [(one.subject, one.last_index, to_document(one), b"") for one in [*some, merged]]
    named = [(f"lookup-{one.subject}", next(iter(one.namespaces)), one.subject, 0, b"") for one in some]
    async with school.service.database.write() as tx:
        await tx.insert(subject_state, rows)
        await tx.insert(subject_identifier, named)
    async with school.service.database.read() as tx:
        everybody = await tallies.count(tx, LEAVES, NOW)
        of_the_sis = await tallies.count(tx, LEAVES, NOW, namespaces=["sis"])
        one_leaf = await tallies.count(tx, ["email"], NOW)
    assert everybody.subjects == len(some)
    assert Counter(everybody.tallies) == counted(some)
    assert (of_the_sis.subjects, of_the_sis.tallies) == (1, ())
    assert {tally.leaf for tally in one_leaf.tallies} == {"email"}


@pytest.mark.parametrize("wording", ["9" * 5000, '"' + "9" * 5000 + '"', '"\\ud800"', "null", "1e400"])
async def test_a_row_that_somebody_damaged_does_not_keep_the_others_from_being_counted(
    school: School, wording: str
) -> None:
    whole, damaged = states()[1], states()[2]
    document = to_document(damaged).replace(",12,null]", f",{wording},null]").replace(",12,", f",{wording},")
    assert wording in document
    rows = [(whole.subject, 0, to_document(whole), b""), (damaged.subject, 0, document, b"")]
    async with school.service.database.write() as tx:
        await tx.insert(subject_state, rows)
    async with school.service.database.read() as tx:
        found = await tallies.count(tx, LEAVES, NOW)
    assert found.subjects == 2
    assert Counter(found.tallies) >= counted([whole])
