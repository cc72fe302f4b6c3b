"""What docs/guardians.md says of a family, worked out anew from plain dictionaries: the oracle of a test."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

CHILD = "child"
TOKYO = ZoneInfo("Asia/Tokyo")
UNDER_AGE = 16


@dataclass
class Oracle:
    """All that has happened to a family: who was whose guardian, and every word that counted when it was said."""

    born: date | None
    guardianships: dict[str, dict[str, Any]] = field(default_factory=dict)
    words: dict[str, dict[str, tuple[str, datetime]]] = field(default_factory=dict)  # by leaf, then by speaker

    def of_age_from(self) -> datetime | None:
        """When the child speaks for itself."""
        if self.born is None:
            return None
        leap = (self.born.month, self.born.day) == (2, 29) and (self.born.year + UNDER_AGE) % 4
        month, day = (3, 1) if leap else (self.born.month, self.born.day)
        return datetime(self.born.year + UNDER_AGE, month, day, tzinfo=TOKYO)

    def is_minor(self, now: datetime) -> bool:
        """Whether it does not yet."""
        since = self.of_age_from()
        return since is None or now < since

    def standing(self, who: str, at: datetime) -> str:
        """Whether a person may speak: yes, unverified, or no."""
        one = self.guardianships.get(who)
        if one is None or one["blocked"] or not one["from"] <= at < one["until"]:
            return "no"
        return "yes" if one["verified"] else "unverified"

    def refusal(self, leaf: str, who: str, word: str, now: datetime) -> str | None:
        """Why a word is refused when it is said."""
        minor, own = self.is_minor(now), self.words.get(leaf, {}).get(CHILD)
        if word == "no":
            return None
        if who == CHILD:
            return "guardian_required" if minor and (own is None or own[0] == "yes") else None
        if not minor:
            return "own_consent_required"
        return None if self.standing(who, now) == "yes" else "guardian_required"

    def say(self, leaf: str, who: str, word: str, now: datetime) -> None:
        """Let a word be said that is not refused."""
        self.words.setdefault(leaf, {})[who] = (word, now)

    def answer(self, leaf: str, rule: str, now: datetime) -> str:
        """The reason of a check's answer."""
        words, since = self.words.get(leaf, {}), self.of_age_from()
        if not words:
            return "no_consent_recorded"
        if since is None or now < since:
            return self._of_minor(words, rule, now)
        word, said_at = words.get(CHILD, ("", now))
        if word == "no":
            return "refused"
        if word == "yes" and said_at >= since:
            later = [who for who, (other, at) in words.items() if who != CHILD and other == "no" and at > said_at]
            return "refused" if later else "consent_granted"
        # A yes that a guardian gave when the child was of age already, as a corrected birth date shows, never counts.
        counted = {who: said for who, said in words.items() if said[0] == "no" or said[1] < since}
        before = self._of_minor(counted, rule, since - timedelta(milliseconds=1))
        return before if before in ("refused", "guardian_conflict") else "own_consent_required"

    def _of_minor(self, words: dict[str, tuple[str, datetime]], rule: str, at: datetime) -> str:
        if words.get(CHILD, ("",))[0] == "no":
            return "refused"
        others = {who: said for who, said in words.items() if who != CHILD}
        yeses = {who: when for who, (word, when) in others.items() if word == "yes" and self.standing(who, at) == "yes"}
        noes = {who: when for who, (word, when) in others.items() if word == "no"}
        standing_noes = [who for who, when in noes.items() if not self._is_lifted(who, when, yeses, rule, at)]
        if standing_noes:
            disagree = rule != "latest" and yeses and any(self.standing(who, at) == "yes" for who in standing_noes)
            return "guardian_conflict" if disagree else "refused"
        if not yeses:
            claims = [who for who, (word, _) in others.items() if word == "yes"]
            return "guardian_" + (
                "unverified" if "unverified" in [self.standing(w, at) for w in claims] else "required"
            )
        everybody = [who for who in self.guardianships if self.standing(who, at) == "yes"]
        return "guardian_required" if rule == "all" and set(everybody) - set(yeses) else "consent_granted"

    def _is_lifted(self, who: str, said: datetime, yeses: dict[str, datetime], rule: str, at: datetime) -> bool:
        if rule != "latest":
            if self.standing(who, at) == "yes":
                return False
            one = self.guardianships.get(who)
            if one and one["verified"] and one["from"] <= at:
                said = max(said, min(one["until"], one["blocked"] or one["until"]))
        return any(when > said or (rule != "latest" and when >= said) for when in yeses.values())
