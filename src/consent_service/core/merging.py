"""Merging two subjects that turn out to be one person: what stands afterwards.

The law: **merging never turns a no into a yes.** Wherever a check about either of the two answered no just before, it
answers no just after; and the same for the wards, if the two are a guardian. So of two words the stricter counts, and a
yes goes on counting only where both records said yes, for somebody may have taken two people for one; and only for as
long as it would have in each of them.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from consent_service.core.clients import Client
from consent_service.core.consent import Action, Standing
from consent_service.core.decision import Question, Verdict, decide
from consent_service.core.guardianship import Authority, Guardianship, Guardianships, authority_of
from consent_service.core.people import Membership, MembershipStatus, Pseudonym
from consent_service.core.policy import Policy, Purpose, SubjectKind
from consent_service.core.projection import SubjectState
from consent_service.core.standings import Leaves, Voices
from consent_service.core.voices import OWN

Said = Mapping[str, Standing]
"""What was said about one leaf, by speaker; the person's own word has the empty one."""


class Pair(NamedTuple):
    """The pseudonyms of the two: `merged` becomes another name of `into`."""

    merged: str
    into: str

    def name(self, subject: str) -> str:
        """How a subject is called afterwards."""
        return self.into if subject == self.merged else subject


class Law(NamedTuple):
    """What a check goes by: the policy in force, now, at the school."""

    policy: Policy
    now: datetime
    zone: ZoneInfo

    def permits(self, state: SubjectState, leaf: str) -> bool:
        """Whether a check of a leaf says yes, as long as the person belongs to the school."""
        return self.verdict(state, leaf).permitted

    def verdict(self, state: SubjectState, leaf: str) -> Verdict:
        """What a check of a leaf says, as long as the person belongs to the school.

        Whether that is so is decided for itself, and may be corrected later: that must not bring a yes back.
        """
        member = state._replace(membership=Membership())
        anybody = Client("", "", frozenset(), (), (), None, None, self.now)
        question = Question(Pseudonym(state.subject), leaf)
        return decide(question, anybody, self.policy, member, now=self.now, zone=self.zone)

    def leaf(self, code: str) -> Purpose | None:
        """The leaf of a code; None where the policy in force has none."""
        found = self.policy.find(code)
        return found if found and found.is_leaf else None

    def counts_no_more(self, said: Standing, code: str) -> bool:
        """Whether this is a no, or a yes that is over: neither will ever permit anything."""
        leaf = self.leaf(code)
        outdated = leaf is not None and said.wording < leaf.counts_from
        expired = said.expires_at is not None and said.expires_at <= self.now
        return said.action is not Action.GRANT or outdated or expired


class Word(NamedTuple):
    """What stands for a leaf after the merger: the last word, and who said what. Nothing, where nobody said anything.

    The latest no of either record is remembered beside the last word, so that no older yes gets past it.
    """

    last: Standing | None
    said: Said

    @property
    def voices(self) -> Said:
        """Who said what, as it is kept: only where a guardian spoke."""
        return self.said if self.said.keys() - {OWN} else {}


def facts_of_two(kept: SubjectState, merged: SubjectState, now: datetime) -> SubjectState:
    """What is known of the person afterwards: of kind, birth date and membership what is the more careful."""
    guardianships = {**kept.guardianships, **{name: _again(one, now) for name, one in merged.guardianships.items()}}
    return kept._replace(
        kind=SubjectKind.STUDENT if SubjectKind.STUDENT in (kept.kind, merged.kind) else kept.kind,
        born=max([one.born for one in (kept, merged) if one.born], default=None),
        membership=_membership(kept.membership, merged.membership),
        guardianships=_blocked(guardianships, guardians_of(kept) & guardians_of(merged), now),
    )


def facts_of_ward(ward: SubjectState, pair: Pair, now: datetime) -> SubjectState:
    """What is known of a ward of the two afterwards, whose guardians they were as one person."""
    both = {pair.into} if {*pair} <= guardians_of(ward) else set()
    of_one = {name: replace(one, guardian=pair.name(one.guardian)) for name, one in ward.guardianships.items()}
    return ward._replace(guardianships=_blocked(of_one, both, now))


def guardians_of(ward: SubjectState) -> set[str]:
    """Who is or was a guardian of somebody."""
    return {one.guardian for one in ward.guardianships.values()}


def _membership(kept: Membership, merged: Membership) -> Membership:
    """Ended if one of the two is, and on the earlier day."""
    ended = [one for one in (kept, merged) if one.status is MembershipStatus.ENDED]
    return min(ended, key=lambda one: one.ended_on or date.min) if ended else kept


def _again(one: Guardianship, now: datetime) -> Guardianship:
    """A guardianship that is recorded about another ward; a block is so from now on."""
    return replace(one, blocked_at=now if one.blocked_at else None)


def _blocked(guardianships: Guardianships, both: Collection[str], now: datetime) -> Guardianships:
    """`both` are the guardians whom both records had: a court order about one of them in the one holds in all."""
    blocked = {one.guardian for one in guardianships.values() if one.blocked_at and one.guardian in both}
    return {
        name: replace(one, blocked_at=one.blocked_at or now)
        if one.guardian in blocked and not one.is_over(now)
        else one
        for name, one in guardianships.items()
    }


def words_of_two(kept: SubjectState, merged: SubjectState, facts: SubjectState, law: Law) -> dict[str, Word]:
    """What stands for each leaf that was decided in one of the two; `facts` are those of both.

    All words stay where both records decided the leaf, and permitted it. Else the noes remain, and the yeses that are
    over: a yes that does not count must not come to count later, by what was known of the other record.
    """
    words = {}
    for leaf in sorted({*kept.leaves, *merged.leaves}):
        one, other = said_of(kept, leaf), said_of(merged, leaf)
        together, before = _together(one, other), [law.verdict(kept, leaf), law.verdict(merged, leaf)]
        was_yes = one and other and all(verdict.permitted for verdict in before)
        found = _no_longer(together, leaf, before, facts, law) if was_yes else _lapsed(together, leaf, law)
        words[leaf] = _word(found, [kept.leaves.of(leaf), merged.leaves.of(leaf)])
    return words


def words_meanwhile(ward: SubjectState, law: Law) -> dict[str, Word]:
    """What stands for a ward of the two until all is said: of a leaf that was not permitted no yes that still counts.

    Guardianships and words change one after another. In between a no may be that of somebody who is no guardian of the
    ward, and would not hold off another guardian's yes.
    """
    words = {}
    for leaf in ward.leaves:
        said = ward.voices.of(leaf)
        if said and not law.permits(ward, leaf) and (lapsed := _lapsed(said, leaf, law)) != said:
            words[leaf] = _word(lapsed, [ward.leaves[leaf]])
    return words


def words_of_ward(
    before: SubjectState, facts: SubjectState, pair: Pair, law: Law, meanwhile: Collection[str] = ()
) -> dict[str, Word]:
    """What stands for a ward of the two, for the leaves of which that changes, or something else stood meanwhile.

    `facts` has the guardians renamed. The two voices become one, and a leaf stays permitted for no longer than it was.
    Where it was not permitted, the guardian's yes lapses, so that it never comes to count by a guardianship of the
    other record; where that does not suffice, or nobody can say because the policy in force does not have the leaf,
    each yes that still counts. Of a leaf about which no guardian ever spoke nothing changes.
    """
    words = {}
    for leaf in before.leaves:
        said, verdict = before.voices.of(leaf), law.verdict(before, leaf)
        if not said:
            continue
        heard = _heard(said, before, leaf, pair, law) if verdict.permitted else said
        others = {pair.name(one): row for one, row in heard.items() if one != pair.into}
        together = _together(others, {one: row for one, row in heard.items() if one == pair.into})
        lapsed = _lapsed(together, leaf, law)
        without = {one: row for one, row in together.items() if one != pair.into}
        without |= {one: row for one, row in lapsed.items() if one == pair.into}
        if verdict.permitted:
            found = _no_longer(together, leaf, [verdict], facts, law)
        else:
            suffices = law.leaf(leaf) and not law.permits(_with(facts, leaf, without), leaf)
            found = without if suffices else lapsed
        if found != said or leaf in meanwhile:
            words[leaf] = _word(found, [before.leaves[leaf]])
    return words


def _heard(said: Said, ward: SubjectState, leaf: str, pair: Pair, law: Law) -> Said:
    """Without the yes of one of the two who may not speak, if the leaf is permitted without it: together they may."""
    guardianships = ward.guardianships.values()
    may_not = {one for one in pair if authority_of(one, guardianships, law.now) is not Authority.VERIFIED}
    mute = {one: row for one, row in said.items() if one in may_not}
    heard = {**{one: row for one, row in said.items() if one not in may_not}, **_lapsed(mute, leaf, law)}
    return heard if law.permits(_with(ward, leaf, heard), leaf) else said


def _no_longer(said: Said, leaf: str, before: Iterable[Verdict], facts: SubjectState, law: Law) -> Said:
    """The words by which a leaf goes on being permitted, for no longer than it was by each verdict of before."""
    end = min([verdict.expires_at for verdict in before if verdict.expires_at], default=None)
    after = law.verdict(_with(facts, leaf, said), leaf).expires_at
    if end is None or (after is not None and after <= end):
        return said
    return {
        who: row._replace(expires_at=min(row.expires_at or end, end)) if row.action is Action.GRANT else row
        for who, row in said.items()
    }


def said_of(state: SubjectState, leaf: str) -> Said:
    """Who said what about a leaf; empty if nobody ever did."""
    return state.voices.of(leaf) or ({OWN: state.leaves[leaf]} if leaf in state.leaves else {})


def _together(one: Said, other: Said) -> Said:
    """The words of two records: of two by one speaker, the stricter."""
    return {**one, **{who: _stricter(one[who], row) if who in one else row for who, row in other.items()}}


def _stricter(one: Standing, other: Standing) -> Standing:
    """A no rather than a yes, and of two noes the later; of two yeses what both have in common."""
    noes = [row for row in (one, other) if row.action is not Action.GRANT]
    last_no_at = max([row.last_no_at for row in (one, other) if row.last_no_at], default=None)
    if noes:
        return max(noes, key=_when)._replace(last_no_at=last_no_at)
    first = min(one, other, key=_when)
    expires_at = min([row.expires_at for row in (one, other) if row.expires_at], default=None)
    return first._replace(expires_at=expires_at, wording=min(one.wording, other.wording), last_no_at=last_no_at)


def _when(row: Standing) -> tuple[datetime, int]:
    return row.made_at, row.index


def _lapsed(said: Said, leaf: str, law: Law) -> Said:
    """What is left when each yes that still counts has lapsed.

    Of a yes that lifted a no, an expired one stays, for that no goes on holding off older yeses.
    """
    over = {who: row for who, row in said.items() if law.counts_no_more(row, leaf)}
    lifted = {who: row for who, row in said.items() if who not in over and row.last_no_at}
    return {**over, **{who: row._replace(expires_at=law.now) for who, row in lifted.items()}}


def _with(facts: SubjectState, leaf: str, said: Said) -> SubjectState:
    """The state as far as it matters to this leaf."""
    word = _word(said, [])
    leaves = Leaves().changed({leaf: word.last} if word.last else {})
    return facts._replace(
        leaves=leaves, voices=Voices().changed({(leaf, one): row for one, row in word.voices.items()})
    )


def _word(said: Said, before: Iterable[Standing | None]) -> Word:
    """The word to be kept. `before` are the last words until now."""
    if not said:
        return Word(None, {})
    last = max(said.values(), key=lambda row: row.index)
    noes = [row.last_no_at for row in (last, *before) if row and row.last_no_at]
    return Word(last._replace(last_no_at=max(noes, default=None)), said)
