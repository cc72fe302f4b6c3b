"""Publishing a policy version: how it differs from the one before, and to which wordings a yes still counts.

A leaf's wording is its own text and the texts of the branches above it, since a person is shown them together.
Publishing numbers the wordings: a change takes the next number, a material one is also where counting begins anew.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from consent_service.core.consent import StateName, Tally, state_of
from consent_service.core.errors import ConsentError, Fault
from consent_service.core.ledger import Instant
from consent_service.core.policy import Policy, Purpose, Text, Wording

_OF_A_LEAF = ("survives_membership", "guardians", "dpv")
_OF_A_BRANCH = ("dpv", "concomitant", "open")
_OF_THE_POLICY = (
    "code",
    "title",
    "controller",
    "contact",
    "law",
    "source",
    "namespaces",
    "minor_rules",
    "quiet_period_days",
    "handover",
    "handover_grace_days",
    "disclosure_grounds",
)


@dataclass(frozen=True, slots=True)
class Diff:
    """How a version differs from the one before, by the codes of leaves in the policy's order.

    `otherwise` names what else changed of a purpose, leaf or branch; `members` what changed of the policy itself.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    reworded: tuple[str, ...]
    basis_changed: tuple[str, ...]
    otherwise: Mapping[str, tuple[str, ...]]
    members: tuple[str, ...]

    @property
    def to_declare(self) -> tuple[str, ...]:
        """The leaves of which the publisher must say whether their change is material."""
        return tuple(dict.fromkeys((*self.reworded, *self.basis_changed)))

    @property
    def changed(self) -> frozenset[str]:
        """Every purpose that stays and is no longer the same."""
        return frozenset((*self.to_declare, *self.otherwise))


@dataclass(frozen=True, slots=True)
class Declared:
    """What the publisher says of the changed leaves: the wording asks anew, or an earlier yes stands for it as well."""

    material: tuple[str, ...] = ()
    editorial: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Publication:
    """A version, published or about to be.

    It was compared with the version published last before it, if there is one, and takes the place of those in
    `replaces`, which never take effect. `undeclared` are the leaves of which the publisher has yet to say whether their
    change is material; till then they are counted as if. `lapses` are the yeses that count today and will not, by leaf;
    `confirm_lapses` is their sum. `index` is the version's entry, None while it is not published.
    """

    version: str
    effective_at: Instant
    compared_with: str | None
    replaces: tuple[str, ...]
    diff: Diff
    undeclared: tuple[str, ...]
    lapses: dict[str, int]
    confirm_lapses: int
    index: int | None


class NotPublished(ConsentError):
    """A policy version was not published; `publication` says how it differs and what publishing it would do."""

    def __init__(self, detail: str, publication: Publication, *, errors: Sequence[Fault] = ()) -> None:
        super().__init__(detail, errors=errors)
        self.publication = publication


class ChangeUndeclared(NotPublished):
    """A leaf was reworded or got another basis, and the publisher does not say whether that is material."""

    code = "change_undeclared"


class LapsesUnconfirmed(NotPublished):
    """Yeses would lapse, and the publisher did not confirm just as many."""

    code = "lapses_unconfirmed"


class PolicyVersionTaken(NotPublished):
    """A version of this name was published already, and a published version never changes."""

    code = "policy_version_taken"


class PolicySuperseded(NotPublished):
    """Another version was published meanwhile; the publisher compared theirs with one that is no longer the newest."""

    code = "policy_superseded"


def diff(before: Policy | None, after: Policy) -> Diff:
    """How `after` differs from the version before it; without one, all of it is new."""
    if before is None:
        return Diff(_codes(after.leaves), (), (), (), {}, ())
    kept = [(old, leaf) for leaf in after.leaves if (old := before.find(leaf.code)) and old.is_leaf]
    stay = {leaf.code for _, leaf in kept}
    return Diff(
        added=tuple(leaf.code for leaf in after.leaves if leaf.code not in stay),
        removed=tuple(leaf.code for leaf in before.leaves if leaf.code not in stay),
        reworded=tuple(leaf.code for _, leaf in kept if _shown(before, leaf.code) != _shown(after, leaf.code)),
        basis_changed=tuple(leaf.code for old, leaf in kept if old.basis is not leaf.basis),
        otherwise=dict(_otherwise(before, after)),
        members=tuple(name for name in _OF_THE_POLICY if getattr(before, name) != getattr(after, name)),
    )


def in_words(changes: Diff) -> Iterator[str]:
    """The differences, a line for each."""
    for how in ("added", "removed", "reworded", "basis_changed"):
        leaves: tuple[str, ...] = getattr(changes, how)
        yield from (f"{how.replace('_', ' ')}: {leaf}" for leaf in leaves)
    for code, members in changes.otherwise.items():
        comes_or_goes = members in (("added",), ("removed",))
        yield f"{members[0]}: {code}" if comes_or_goes else f"changed: {', '.join(members)} of {code}"
    yield from (f"changed: {member}" for member in changes.members)


def undeclared(changes: Diff, declared: Declared) -> tuple[str, ...]:
    """The leaves of which the publisher has yet to say whether their change is material."""
    said = {*declared.material, *declared.editorial}
    return tuple(leaf for leaf in changes.to_declare if leaf not in said)


def wrong_names(after: Policy, changes: Diff, declared: Declared) -> Iterator[Fault]:
    """What the publisher names and may not: no leaf, one that did not change, or one that is said to be both."""
    for member, names in (("material", declared.material), ("editorial", declared.editorial)):
        for position, name in enumerate(names):
            if (found := after.find(name)) is None:
                yield Fault(f"/{member}/{position}", after.unknown_sentence(name))
            elif not found.is_leaf:
                yield Fault(f"/{member}/{position}", f"{name} is no leaf, so nobody says yes to it; name the leaves")
            elif name not in changes.changed:
                yield Fault(f"/{member}/{position}", f"{name} did not change; name only leaves that did")
            elif member == "editorial" and name in declared.material:
                yield Fault(f"/{member}/{position}", "this leaf is named as material, too; it is one or the other")


def numbered(after: Policy, versions: Sequence[Policy], changes: Diff, declared: Declared) -> Policy:
    """The policy with the numbers of its wordings, as they follow from all versions published before.

    A change that is not declared editorial counts as material. A leaf that is new, or back again, counts from its first
    wording since: what was said of it before it was removed has lapsed.
    """
    if not versions:
        return after
    moved = frozenset((*changes.to_declare, *declared.material, *declared.editorial))
    return replace(after, purposes=tuple(_numbered(one, versions, moved, declared.editorial) for one in after.purposes))


def wrong_numbers(given: Policy, made: Policy) -> Iterator[Fault]:
    """The wordings for which the publisher gives a number that is yet to come."""
    for wanted, purpose in zip(given.walk(), made.walk(), strict=True):
        if wanted.wording.number > purpose.wording.number:
            yield Fault(
                "/policy/purposes",
                f"{purpose.code}: publishing numbers the wordings, and this one gets {purpose.wording.number}; "
                "leave `number` out, or give that",
            )


def endangered(today: Policy | None, after: Policy) -> tuple[Purpose, ...]:
    """The leaves in force today for which a yes that counts may count no longer."""
    return tuple(leaf for leaf in today.leaves if _then(after, leaf) is not leaf) if today else ()


def lapses(leaves: Iterable[Purpose], after: Policy, tallies: Iterable[Tally]) -> dict[str, int]:
    """How many yeses to these leaves of today's policy count now and will not, by leaf."""
    today = {leaf.code: leaf for leaf in leaves}
    counted = dict.fromkeys(today, 0)
    for tally in tallies:
        if _lapses(today[tally.leaf], _then(after, today[tally.leaf]), tally):
            counted[tally.leaf] += tally.subjects
    return counted


def _lapses(today: Purpose, then: Purpose | None, tally: Tally) -> bool:
    if _state(tally, today) is not StateName.GRANTED:
        return False
    return then is None or _state(tally, then) is not StateName.GRANTED


def _state(tally: Tally, leaf: Purpose) -> StateName:
    return state_of(tally.action, tally.wording, leaf.counts_from, expired=tally.expired)


def _then(after: Policy, leaf: Purpose) -> Purpose | None:
    """The leaf as it will be; itself where a yes counts as it does today, None where it is gone."""
    then = after.find(leaf.code)
    if then is None or not then.is_leaf:
        return None
    return then if then.counts_from > leaf.counts_from else leaf


def _codes(purposes: Iterable[Purpose]) -> tuple[str, ...]:
    return tuple(one.code for one in purposes)


def _shown(policy: Policy, code: str) -> list[Text]:
    """What a person is shown for a leaf: the texts of the branches above it, and its own."""
    steps = code.split(".")
    above = (policy.find(".".join(steps[:count])) for count in range(1, len(steps) + 1))
    return [purpose.wording.text for purpose in above if purpose]


def _otherwise(before: Policy, after: Policy) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What else changed of each purpose that stays what it is, and which branches come and go."""
    for purpose in after.walk():
        old = before.find(purpose.code)
        if old is None or old.is_leaf != purpose.is_leaf:
            if not purpose.is_leaf:
                yield purpose.code, ("added",)
        elif changed := tuple(_changed(old, purpose)):
            yield purpose.code, changed
    for purpose in before.walk():
        new = after.find(purpose.code)
        if not purpose.is_leaf and (new is None or new.is_leaf):
            yield purpose.code, ("removed",)


def _changed(old: Purpose, purpose: Purpose) -> Iterator[str]:
    if not purpose.is_leaf and old.wording.text != purpose.wording.text:
        yield "wording"
    for member in _OF_A_LEAF if purpose.is_leaf else _OF_A_BRANCH:
        if getattr(old, member) != getattr(purpose, member):
            yield member


def _numbered(
    purpose: Purpose, versions: Sequence[Policy], moved: Collection[str], editorial: Collection[str]
) -> Purpose:
    below = tuple(_numbered(one, versions, moved, editorial) for one in purpose.purposes)
    return replace(purpose, wording=_wording(purpose, versions, moved, editorial), purposes=below)


def _wording(
    purpose: Purpose, versions: Sequence[Policy], moved: Collection[str], editorial: Collection[str]
) -> Wording:
    text, last = purpose.wording.text, versions[-1].find(purpose.code)
    if last is None or last.is_leaf != purpose.is_leaf:
        earlier = [known.wording.number for policy in versions if (known := policy.find(purpose.code))]
        number = max(earlier, default=0) + 1
        return Wording(number, text, number)
    has_moved = purpose.code in moved if purpose.is_leaf else last.wording.text != text
    if not has_moved:
        return last.wording
    number, stands = last.wording.number + 1, not purpose.is_leaf or purpose.code in editorial
    return Wording(number, text, last.wording.counts_from if stands else number)
