"""A population: subjects who have all decided, as the rows that the product itself would have written.

Entries and documents come from the product's own functions once for each voice, with marks where a subject's own values
go, and are then filled in: a million subjects would take the product's path too long. tests/test_benchmarks.py proves
that a rebuild of the ledger gives the same rows, byte for byte.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from functools import cached_property

from consent_service.core import ids, ledger, merkle, projection
from consent_service.core.consent import Action, Method, Role
from consent_service.core.ids import Entropy
from consent_service.core.keyring import KEY_BYTES, NONCE_BYTES, Keyring, seal
from consent_service.core.people import Identifier
from consent_service.core.policy import Policy, Purpose
from consent_service.core.projection import SubjectState
from consent_service.store import seals

NAMESPACE = "person"
_SALT_BYTES = 32
_FIRST_IDENTIFIER = 1_000_000
_SUBJECT_MARK = "sub_" + "0" * 26
_COMMITMENT_MARK = "c" * 64
_INDEX_MARK = 900_000_000_000_000  # longer than any instant in milliseconds

Row = tuple[object, ...]


class Voice(Enum):
    """What a subject has said: the action, and after how long it expires, if ever."""

    YES = Action.GRANT, None
    YES_FOR_LONG = Action.GRANT, timedelta(days=3650)
    EXPIRED = Action.GRANT, timedelta(days=1)
    REFUSED = Action.REFUSE, None
    WITHDRAWN = Action.WITHDRAW, None

    @property
    def is_yes(self) -> bool:
        """Whether it permits, once what was said for a day is over."""
        return self in (Voice.YES, Voice.YES_FOR_LONG)


def voice_of(number: int) -> Voice:
    """What the subject of this number says: one in ten says no, in one of three ways."""
    if number % 10 == 0:
        return (Voice.REFUSED, Voice.WITHDRAWN, Voice.EXPIRED)[number // 10 % 3]
    return Voice.YES_FOR_LONG if number % 10 == 1 else Voice.YES


def identifier_of(number: int) -> Identifier:
    """Under what the subject of this number is known."""
    return Identifier(NAMESPACE, str(_FIRST_IDENTIFIER + number))


def permitted(subjects: int) -> int:
    """How many of the first so many subjects say yes."""
    return sum(voice_of(number).is_yes for number in range(subjects))


@dataclass(slots=True)
class Rows:
    """Rows to be written, each in the order of its table's columns as `COLUMNS` in benchmarks/bulk.py names them."""

    at: datetime
    entries: list[Row] = field(default_factory=list)
    details: list[Row] = field(default_factory=list)
    keys: list[Row] = field(default_factory=list)
    identifiers: list[Row] = field(default_factory=list)
    states: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Template:
    """The entries of one voice and the document they make, with marks for what is a subject's own."""

    bodies: tuple[tuple[str, bytes], ...]
    document: str

    def body(self, position: int, subject: str, commitment: str) -> bytes:
        """The bytes of one entry of a subject."""
        marked = self.bodies[position][1].replace(_SUBJECT_MARK.encode(), subject.encode())
        return marked.replace(_COMMITMENT_MARK.encode(), commitment.encode())

    def document_at(self, first: int) -> str:
        """The document of a subject whose first entry is at this index."""
        document = self.document
        for position in range(2, len(self.bodies)):
            document = document.replace(str(_INDEX_MARK + position), str(first + position))
        return document


@dataclass(frozen=True)
class Census:
    """Makes the rows of subjects: each is recorded, identified, and says something about each of `purposes`."""

    policy: Policy
    purposes: Sequence[Purpose]
    recorded_by: str
    at: datetime
    keyring: Keyring
    entropy: Entropy

    @property
    def entries_each(self) -> int:
        """How many entries a subject has."""
        return 2 + len(self.purposes)

    @cached_property
    def _templates(self) -> dict[Voice, Template]:
        return {voice: self._template(voice) for voice in Voice}

    def rows(self, numbers: Iterable[int], size: int) -> Rows:
        """The rows of the subjects of these numbers, for a ledger of `size` entries."""
        rows = Rows(self.at)
        for position, number in enumerate(numbers):
            self._add(rows, number, size + position * self.entries_each)
        return rows

    def _add(self, rows: Rows, number: int, first: int) -> None:
        template, name, subject = self._templates[voice_of(number)], identifier_of(number), ids.subject_id(self.entropy)
        commitment = self._add_personal(rows, name, subject, first + 1)
        for position, (kind, _) in enumerate(template.bodies):
            body = template.body(position, subject, commitment)
            rows.entries.append((first + position, self.at, kind, subject, body, merkle.leaf_hash(body)))
        named = (self.keyring.lookup(name), name.namespace, subject, first + 1)
        rows.identifiers.append((*named, self.keyring.seal_row(seals.identifier_message(*named))))
        state = (subject, first + self.entries_each - 1, template.document_at(first))
        rows.states.append((*state, self.keyring.seal_row(seals.state_message(*state))))

    def _add_personal(self, rows: Rows, name: Identifier, subject: str, index: int) -> str:
        """Add the subject's key, and the identifier sealed under it; answers the commitment to the identifier."""
        key, salt, detail = self.entropy(KEY_BYTES), self.entropy(_SALT_BYTES), {"identifier": str(name)}
        clear = ledger.detail_bytes({**detail})
        sealed = seal(key, clear, self.entropy(NONCE_BYTES), f"{subject}/{index}")
        rows.keys.append((subject, self.keyring.wrap(subject, key, self.entropy(NONCE_BYTES))))
        rows.details.append((index, salt, sealed))
        return ledger.commitment(salt, clear)

    def _template(self, voice: Voice) -> Template:
        bodies = [self._recorded(), self._identified(), *(self._stated(purpose, voice) for purpose in self.purposes)]
        state: SubjectState | None = None
        for position, body in enumerate(bodies):
            state = projection.applied(state, _INDEX_MARK + position, body)
        assert state is not None
        return Template(tuple((body.kind, ledger.to_bytes(body)) for body in bodies), projection.to_document(state))

    def _recorded(self) -> ledger.SubjectBody:
        return ledger.SubjectRecorded(
            at=self.at,
            recorded_by=self.recorded_by,
            change="created",
            subject=_SUBJECT_MARK,
            subject_kind=self.policy.kind_of(NAMESPACE),
        )

    def _identified(self) -> ledger.SubjectBody:
        return ledger.IdentifierChanged(
            at=self.at,
            recorded_by=self.recorded_by,
            commitment=_COMMITMENT_MARK,
            change="added",
            subject=_SUBJECT_MARK,
            namespace=NAMESPACE,
        )

    def _stated(self, purpose: Purpose, voice: Voice) -> ledger.SubjectBody:
        action, expires_after = voice.value
        return ledger.StatementMade(
            at=self.at,
            recorded_by=self.recorded_by,
            subject=_SUBJECT_MARK,
            action=action,
            purpose=purpose.code,
            leaves={leaf.code: leaf.wording.number for leaf in purpose.leaves},
            applied=[leaf.code for leaf in purpose.leaves],
            not_applied_because=None,
            role=Role.SUBJECT,
            speaker=None,
            method=Method.WEB_FORM,
            policy_version=self.policy.version,
            made_at=self.at,
            expires_at=None if expires_after is None else self.at + expires_after,
        )
