"""The voices: what a person and the guardians said about one leaf, and what it comes to.

A yes for a minor counts from a verified, current, unblocked guardian only. The minor's own no always counts, and only
the minor's own yes lifts it. A guardian's no outlives the guardianship, until an authorised yes later than both.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from consent_service.core.consent import Action, Standing
from consent_service.core.guardianship import Authority, Guardianship, authority_of
from consent_service.core.instants import MILLISECOND
from consent_service.core.policy import GuardianRule, Handover
from consent_service.core.reasons import ReasonCode

OWN = ""
"""The speaker of what a person said for themself."""


class Outcome(NamedTuple):
    """What the voices come to: what stands, and why it does not count if it does not.

    `no` is the no that counts, if one does. `ends_at` is when the authority that a yes rests on ends by itself.
    """

    standing: Standing | None
    objection: ReasonCode | None = None
    no: Standing | None = None
    ends_at: datetime | None = None


class Majority(NamedTuple):
    """When a person comes of age, None for never, and what becomes of a guardian's yes then."""

    of_age_from: datetime | None
    handover: Handover
    grace: timedelta

    def is_minor(self, now: datetime) -> bool:
        """Whether the person is under age."""
        return self.of_age_from is None or now < self.of_age_from


class Hearing(NamedTuple):
    """All that the outcome for one leaf rests on.

    `voices` are by their speakers; a yes counts from the wording `counts_from` on, which is 0 where notice suffices.
    """

    voices: Mapping[str, Standing]
    guardianships: tuple[Guardianship, ...]
    rule: GuardianRule
    counts_from: int
    now: datetime

    def outcome(self, majority: Majority) -> Outcome:
        """What the voices come to."""
        if not self.voices:
            return Outcome(None)
        if majority.of_age_from is None:
            return self._of_minor_now()
        if self.now < majority.of_age_from:
            return self._of_minor_until(majority, majority.of_age_from)
        return self.of_adult(majority, majority.of_age_from)

    def _of_minor_until(self, majority: Majority, of_age_from: datetime) -> Outcome:
        """What they come to for a minor who will be of age; a yes ends with what is left of it then."""
        found = self._of_minor_now()
        if not self.permits(found) or (found.ends_at and found.ends_at < of_age_from):
            return found
        then = self._replace(now=of_age_from)
        kept = then.of_adult(majority, of_age_from)
        if kept.standing is None or not then.permits(kept):
            return found._replace(ends_at=of_age_from)
        return found._replace(ends_at=_earliest([kept.standing.expires_at, kept.ends_at]))

    def _of_minor_now(self) -> Outcome:
        """What they come to for a minor now, and until when if it is a yes."""
        found = self.of_minor(self.now)
        if not self.permits(found) or not self._may_turn():
            return found
        moments = {at for one in self.guardianships for at in (one.from_, one.until)}
        moments |= {said.expires_at for said in self.voices.values()}
        turns = (at for at in sorted(at for at in moments if at and at > self.now) if not self._permits_at(at))
        ends_at = None if self._is_notice else found.ends_at
        return found._replace(ends_at=_earliest([ends_at, next(turns, None)]))

    def _may_turn(self) -> bool:
        """Whether a yes may end otherwise than with the authority that it rests on.

        So it may by somebody who comes, by a no that is held off, and where it rests on nobody.
        """
        is_to_come = any(one.from_ is not None and one.from_ > self.now for one in self.guardianships)
        return self._is_notice or is_to_come or any(_is_no(said) for said in self.voices.values())

    def _permits_at(self, at: datetime) -> bool:
        then = self._replace(now=at)
        return then.permits(then.of_minor(at))

    def permits(self, found: Outcome) -> bool:
        """Whether data may be used by this; where notice suffices, what a yes lacks is no objection."""
        lacks_nothing = found.objection is None or self._is_notice
        return lacks_nothing and found.no is None and found.standing is not None and self._is_valid(found.standing)

    @property
    def _is_notice(self) -> bool:
        return self.counts_from == 0

    def of_adult(self, majority: Majority, of_age_from: datetime) -> Outcome:
        """An adult's own word counts; a guardian's yes of before only as the handover says."""
        own = self.voices.get(OWN)
        if own and own.action is not Action.GRANT:
            return Outcome(own, no=own)
        if own and own.made_at >= of_age_from:
            later = [said for _, said in self._others() if _is_no(said) and not _is_after(own, said)]
            no = max(later, key=_when, default=None)
            return Outcome(no or own, no=no)
        before = self._said_before(of_age_from).of_minor(of_age_from - MILLISECOND)
        if before.no is not None:
            return before
        until = _handed_over(majority)
        if before.standing and before.objection is None and (until is None or self.now < until):
            return before._replace(ends_at=None if self._is_notice else until)
        standing = before.standing or self.of_minor(of_age_from - MILLISECOND).standing
        return Outcome(standing, ReasonCode.OWN_CONSENT_REQUIRED)

    def _said_before(self, of_age_from: datetime) -> "Hearing":
        """Without the guardians' yeses for one who was of age already, as a corrected birth date shows."""
        early = {one: said for one, said in self.voices.items() if _is_no(said) or said.made_at < of_age_from}
        return self._replace(voices=early)

    def of_minor(self, at: datetime) -> Outcome:
        """What they come to for a minor; `at` is the instant at which the guardians' authority is looked at."""
        own = self.voices.get(OWN)
        if own and own.action is not Action.GRANT:
            return Outcome(own, no=own)
        authorised = {one for one in self.voices if self._authority(one, at) is Authority.VERIFIED}
        yeses = {one: said for one, said in self._others() if one in authorised and not _is_no(said)}
        noes = {one: said for one, said in self._others() if _is_no(said) and not self._is_lifted(one, said, yeses, at)}
        if noes:
            return self._denied(noes, yeses, authorised)
        if not yeses:
            return self._unauthorised(at)
        return self.granted(yeses, at)

    def _denied(self, noes: Mapping[str, Standing], yeses: Mapping[str, Standing], authorised: set[str]) -> Outcome:
        """A no; where two who may speak now do not agree, a conflict."""
        no = max(noes.values(), key=_when)
        valid = [yes for yes in yeses.values() if self._is_valid(yes)]
        if valid and self.rule is not GuardianRule.LATEST and authorised & set(noes):
            return Outcome(max(valid, key=_when), ReasonCode.GUARDIAN_CONFLICT, no)
        return Outcome(no, no=no)

    def _unauthorised(self, at: datetime) -> Outcome:
        """No yes that counts; perhaps one that could, if its speaker were verified."""
        said = {one: yes for one, yes in self._others() if not _is_no(yes)}
        could = any(self._authority(one, at) is Authority.UNVERIFIED for one in said)
        standing = self._heard_last(said, at) or max(said.values(), key=_when, default=self.voices.get(OWN))
        return Outcome(standing, ReasonCode.GUARDIAN_UNVERIFIED if could else ReasonCode.GUARDIAN_REQUIRED)

    def _heard_last(self, said: Mapping[str, Standing], at: datetime) -> Standing | None:
        """What stood when the last of them lost the authority, so that time does not bring an earlier yes back."""
        ends = {one: end for one in said if (end := self._ended(one, at))}
        if not ends:
            return None
        then = max(ends.values()) - MILLISECOND
        return self._replace(now=then).granted({one: said[one] for one in ends if ends[one] > then}, then).standing

    def granted(self, yeses: Mapping[str, Standing], at: datetime) -> Outcome:
        """What the yeses of those who may speak come to, where nobody's no holds them off."""
        if self.rule is GuardianRule.ALL:
            return self._granted_by_all(yeses, at)
        if self.rule is GuardianRule.LATEST:
            words = {**self._run_out(at), **yeses}
            speaker = max(words, key=lambda one: _when(words[one]))
            return Outcome(words[speaker], ends_at=self._end(speaker, at))
        speaker = max(yeses, key=lambda one: self._worth(yeses[one], self._end(one, at)))
        return Outcome(yeses[speaker], ends_at=self._end(speaker, at))

    def _run_out(self, at: datetime) -> dict[str, Standing]:
        """The yeses that were over before their speakers' authority was.

        They stay somebody's last word, or the end of a guardianship would bring an earlier yes back.
        """
        ends = {one: (said, self._ended(one, at)) for one, said in self._others() if not _is_no(said)}
        return {one: said for one, (said, end) in ends.items() if end and not self._is_valid(said, end)}

    def _granted_by_all(self, yeses: Mapping[str, Standing], at: datetime) -> Outcome:
        everybody = {one.guardian for one in self.guardianships}
        verified = {one for one in everybody if self._authority(one, at) is Authority.VERIFIED}
        weakest = min(yeses.values(), key=lambda one: self._worth(one, None))
        if verified - set(yeses):
            return Outcome(weakest, ReasonCode.GUARDIAN_REQUIRED)
        return Outcome(weakest, ends_at=_earliest(self._end(one, at) for one in yeses))

    def _is_lifted(self, speaker: str, no: Standing, yeses: Mapping[str, Standing], at: datetime) -> bool:
        """Whether a guardian's no is over: by a later word where the latest counts, else only once authority ended."""
        if self.rule is GuardianRule.LATEST:
            return any(_is_after(yes, no) for yes in yeses.values())
        if self._authority(speaker, at) is Authority.VERIFIED:
            return False
        ended = self._ended(speaker, at) or no.made_at
        return any(_is_after(yes, no) and yes.made_at >= ended for yes in yeses.values())

    def _ended(self, speaker: str, at: datetime) -> datetime | None:
        """When the authority that a guardian had was over."""
        mine = [one for one in self.guardianships if one.guardian == speaker]
        blocked_at = _earliest(one.blocked_at for one in mine)
        ends = [_ended(one, blocked_at) for one in mine if one.is_verified and (one.from_ is None or one.from_ <= at)]
        return max([end for end in ends if end], default=None)

    def _end(self, speaker: str, at: datetime) -> datetime | None:
        """When a guardian's authority ends by itself; at the coming of age it stays as it was.

        One guardianship that begins as another ends goes on with it.
        """
        if at != self.now:
            return None
        mine = [one for one in self.guardianships if one.guardian == speaker and one.is_verified]
        end: datetime | None = at
        while end is not None and (on := [one.until for one in mine if one.is_current(end)]):
            end = None if None in on else max(until for until in on if until)
        return end

    def _worth(self, yes: Standing, end: datetime | None) -> tuple[bool, bool, float, int]:
        """How much a yes is worth: one that counts, for long, and of the same length the newer one."""
        until = _earliest([yes.expires_at, end])
        return self._is_valid(yes), until is None, until.timestamp() if until else 0, yes.index

    def _is_valid(self, yes: Standing, at: datetime | None = None) -> bool:
        return yes.wording >= self.counts_from and (yes.expires_at is None or (at or self.now) < yes.expires_at)

    def _authority(self, speaker: str, at: datetime) -> Authority:
        return authority_of(speaker, self.guardianships, at)

    def _others(self) -> list[tuple[str, Standing]]:
        return [(one, said) for one, said in self.voices.items() if one != OWN]


def _handed_over(majority: Majority) -> datetime | None:
    """When the guardians' yeses end by the coming of age; None where they are kept."""
    if majority.of_age_from is None or majority.handover is Handover.KEEP:
        return None
    return majority.of_age_from + majority.grace


def _ended(one: Guardianship, blocked_at: datetime | None) -> datetime | None:
    """When a guardianship was over, or a court order about the two kept it from counting; None if it never counted."""
    end = _earliest([one.until, blocked_at])
    return None if end and one.from_ and end <= one.from_ else end


def _is_no(said: Standing) -> bool:
    return said.action is not Action.GRANT


def _when(said: Standing) -> tuple[datetime, int]:
    return said.made_at, said.index


def _is_after(yes: Standing, no: Standing) -> bool:
    """A no applies at its own index, whenever it was made; a yes is after it only if it was made later as well."""
    return yes.index > no.index and yes.made_at >= no.made_at


def _earliest(moments: Iterable[datetime | None]) -> datetime | None:
    return min([one for one in moments if one is not None], default=None)
