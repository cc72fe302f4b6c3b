"""OpenID AuthZEN Authorization API 1.0, the pure part: how its words become ours, and when a batch ends.

An AuthZEN subject is a client, an action a purpose, a resource a person. Sections are those of the specification.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from consent_service.core import people
from consent_service.core.people import PSEUDONYM_PREFIX, Reference

REQUIRED: Mapping[str, Sequence[str]] = {"subject": ("type", "id"), "action": ("name",), "resource": ("type", "id")}
"""The entities of an evaluation, and the members that each of them must have (sections 5.1 to 5.3)."""

LONGEST_ACTION = 200
"""Characters of a purpose's code; a longer action cannot be one."""


class Semantic(StrEnum):
    """When a batch of evaluations ends (section 7.1.2.1)."""

    EXECUTE_ALL = "execute_all"
    DENY_ON_FIRST_DENY = "deny_on_first_deny"
    PERMIT_ON_FIRST_PERMIT = "permit_on_first_permit"

    def ends_with(self, permitted: bool) -> bool:
        """Whether this answer is the last one."""
        match self:
            case Semantic.DENY_ON_FIRST_DENY:
                return not permitted
            case Semantic.PERMIT_ON_FIRST_PERMIT:
                return permitted
            case Semantic.EXECUTE_ALL:
                return False

    def answered(self, decisions: Iterable[bool]) -> int:
        """How many of a batch's evaluations are answered."""
        count = 0
        for count, permitted in enumerate(decisions, start=1):  # noqa: B007 (how far it came is the answer)
            if self.ends_with(permitted):
                break
        return count


@dataclass(frozen=True, slots=True)
class Entity:
    """A subject or a resource: an id within a type."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Action:
    """A purpose's code; for a concomitant use, `within` names the purpose that it goes along with."""

    name: str
    within: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """May this client use this person's data for this purpose? (section 6.1)"""

    subject: Entity
    action: Action
    resource: Entity


@dataclass(frozen=True, slots=True)
class SubjectSearch:
    """Which clients may use this person's data for this purpose? (section 8.4)"""

    type: str
    action: Action
    resource: Entity


@dataclass(frozen=True, slots=True)
class ResourceSearch:
    """Whose data may this client use for this purpose? (section 8.5) `namespace` is the default one if it is None."""

    subject: Entity
    action: Action
    type: str
    namespace: str | None


@dataclass(frozen=True, slots=True)
class ActionSearch:
    """For which purposes may this client use this person's data? (section 8.6)"""

    subject: Entity
    resource: Entity


Search = SubjectSearch | ResourceSearch | ActionSearch


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What this service calls clients and persons in AuthZEN, and the namespace of an id that names none."""

    subject_types: tuple[str, ...]
    resource_types: tuple[str, ...]
    default_namespace: str

    def person(self, resource: Entity) -> Reference | None:
        """The person that a resource may name; None for what cannot be one."""
        if resource.type not in self.resource_types:
            return None
        try:
            return people.reference(resource.id, default_namespace=self.default_namespace)
        except ValueError:
            return None

    def id_of(self, identifier: str) -> str:
        """The shortest resource id that reads back as this identifier, which is `namespace:id`."""
        namespace, _, bare = identifier.partition(":")
        plain = namespace == self.default_namespace and ":" not in bare and not bare.startswith(PSEUDONYM_PREFIX)
        return bare if plain else identifier


def merged(defaults: Mapping[str, object], item: Mapping[str, object]) -> dict[str, object]:
    """An evaluation of a batch, with the defaults where it says nothing (section 7.1.1).

    An entity of the item replaces the default's as a whole, but for members that are required and that it leaves out.
    """
    whole = {**defaults, **item}
    for entity, members in REQUIRED.items():
        own, default = item.get(entity), defaults.get(entity)
        if isinstance(own, dict) and isinstance(default, dict):
            whole[entity] = {**{name: default[name] for name in members if name in default}, **own}
    return whole


def to_token(after: str, search: str) -> str:
    """An opaque page token: where the next page begins, and which search it belongs to (section 8.2).

    NOTE: the form may change at any time; a token that cannot be read is an error of the caller's.
    """
    return base64.urlsafe_b64encode(f"{search}.{after}".encode()).rstrip(b"=").decode()


def from_token(token: str, search: str) -> str:
    """Where the page begins. Raises ValueError for what is not a token of this very search."""
    try:
        read = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise ValueError("this is not a token that the service gave") from None
    of, _, after = read.partition(".")
    if of != search:
        raise ValueError("this token belongs to another search; only `page` may change from page to page")
    return after
