"""The ledger's entries: what each kind says, and the exact bytes that are hashed.

Every change of state is one entry. Bodies hold pseudonyms, codes, times and versions; what is personal (identifiers,
birth dates, evidence, who of the staff) is only committed to, and lies encrypted beside the ledger.

NOTE: the body's bytes are hashed and proved. Members may be added to a kind, never renamed, removed or given another
meaning. tests/core/test_ledger.py holds golden bytes.
"""

import hmac
import json
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Literal

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, JsonValue, PlainSerializer, TypeAdapter

from consent_service.core.clients import Scope
from consent_service.core.consent import Action, Method, NotApplied, Role, Standing
from consent_service.core.guardianship import GuardianshipChange
from consent_service.core.instants import to_text
from consent_service.core.people import MembershipStatus
from consent_service.core.policy import SubjectKind

JsonObject = dict[str, JsonValue]
Instant = Annotated[datetime, PlainSerializer(to_text, return_type=str)]

OPERATOR = "operator"
"""Who recorded an entry that no client asked for: the command line, or the first start."""


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    at: Instant
    recorded_by: str
    commitment: str | None = None


def _is_none(value: object) -> bool:
    """Leaves out of the bytes a member that older entries do not have."""
    return value is None


class PolicyPublished(_Body):
    """A policy version was published; the policy is public, so all of it is here.

    What the publisher decided: which changed leaves are `material` and which `editorial`, and how many yeses lapse by
    that. The very first version has none of the three.
    """

    kind: Literal["policy"] = "policy"
    version: str
    effective_at: Instant
    policy: JsonObject
    material: list[str] | None = Field(default=None, exclude_if=_is_none)
    editorial: list[str] | None = Field(default=None, exclude_if=_is_none)
    lapses: int | None = Field(default=None, exclude_if=_is_none)


class ClientChanged(_Body):
    """A client was created or revoked. The key itself is never stored; `key_hash` is keyed."""

    kind: Literal["client"] = "client"
    change: Literal["created", "revoked"]
    client: str
    name: str
    key_hash: str
    scopes: list[Scope]
    purposes: list[str]
    namespaces: list[str]
    expires_at: Instant | None


class KeyUse(StrEnum):
    """What a key is for. Each use has keys of its own."""

    RECEIPT = "receipt"
    CHECKPOINT = "checkpoint"
    SEAL = "seal"
    MASTER = "master"
    IDENTIFIER_PEPPER = "identifier_pepper"
    CLIENT_PEPPER = "client_pepper"


class KeyState(StrEnum):
    """Where a key is in its life, in order: a key only ever moves forward."""

    NEXT = "next"
    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


class KeyChange(StrEnum):
    """A step in a key's life: into next, active, retired or revoked."""

    PUBLISHED = "published"
    ACTIVATED = "activated"
    RETIRED = "retired"
    REVOKED = "revoked"


class KeyChanged(_Body):
    """A key was published, or took over, or was retired or revoked.

    `kid` is the RFC 7638 thumbprint of a signing key, whose raw public half is `public_key` in base64url; of a secret
    it is HMAC-SHA-256(secret, "mark" || 0x00) in base64url, and `public_key` is null.
    """

    kind: Literal["key"] = "key"
    change: KeyChange
    use: KeyUse
    kid: str
    public_key: str | None


class SubjectRecorded(_Body):
    """A subject was recorded, or facts about it changed; `detail` names the members that were set and their values."""

    kind: Literal["subject"] = "subject"
    change: Literal["created", "changed"]
    subject: str
    subject_kind: SubjectKind


class IdentifierChanged(_Body):
    """A subject got an identifier, or lost one; the identifier itself is in `detail`."""

    kind: Literal["identifier"] = "identifier"
    change: Literal["added", "removed"]
    subject: str
    namespace: str


class MembershipChanged(_Body):
    """A person's membership became active or ended."""

    kind: Literal["membership"] = "membership"
    subject: str
    status: MembershipStatus
    ended_on: date | None


class GuardianshipChanged(_Body):
    """A guardianship was recorded, or a step of its life; `subject` is the ward.

    Each entry says the whole of it: the period from `from_at` until `until_at`, and whether it is verified. The
    relation, who verified it and when, and the reference of a court order are in `detail`.
    """

    kind: Literal["guardianship"] = "guardianship"
    change: GuardianshipChange
    subject: str
    guardianship: str
    guardian: str
    from_at: Instant | None
    until_at: Instant | None
    verified: bool


class StatementMade(_Body):
    """One statement as it was made: a branch stays a branch, and names its leaves with the wordings shown.

    `applied` are the leaves that it changed; `not_applied_because` says why not, where it left some as they were.
    `speaker` is the guardian's pseudonym, if a guardian made it.
    """

    kind: Literal["statement"] = "statement"
    subject: str
    action: Action
    purpose: str
    leaves: dict[str, int]
    applied: list[str]
    not_applied_because: NotApplied | None
    role: Role
    speaker: str | None
    method: Method
    policy_version: str
    made_at: Instant
    expires_at: Instant | None


class Stands(BaseModel):
    """What stands for a leaf after a merger, as an entry says it; the members are those of a `Standing`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Action
    index: int
    made_at: Instant
    expires_at: Instant | None
    wording: int
    last_no_at: Instant | None

    @classmethod
    def of(cls, standing: Standing) -> "Stands":
        """What an entry says of a standing."""
        return cls.model_validate(standing, from_attributes=True)

    @property
    def standing(self) -> Standing:
        """The standing that it says."""
        return Standing(self.action, self.index, self.made_at, self.expires_at, self.wording, self.last_no_at)


class SubjectsMerged(_Body):
    """The subject `merged` was merged into the subject `into`, for they are one person.

    There is an entry about each subject whose state changes by it. About `merged`: from here on it is another name of
    `into`, and no entry follows. About `into`, and about each ward of `merged`: what stands afterwards for the leaves
    that it names, null where nothing does, and who said what, for those leaves about which a guardian spoke. In
    `voices` the person's own voice has the empty speaker.
    """

    kind: Literal["merge"] = "merge"
    subject: str
    merged: str
    into: str
    leaves: dict[str, Stands | None]
    voices: dict[str, dict[str, Stands]]


SubjectBody = (
    SubjectRecorded | IdentifierChanged | MembershipChanged | GuardianshipChanged | StatementMade | SubjectsMerged
)
Body = PolicyPublished | ClientChanged | KeyChanged | SubjectBody

_BODY: TypeAdapter[Body] = TypeAdapter(Annotated[Body, Field(discriminator="kind")])


_COMPACT = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False)


def to_bytes(body: Body) -> bytes:
    """The canonical JSON (RFC 8785) that is stored and hashed.

    A statement has only text, whole numbers and names in ASCII, of which sorted compact JSON is the canonical form; the
    library takes ten times as long for the same bytes, which tests/core/test_ledger.py proves.
    """
    plain = body.model_dump(mode="json")
    if isinstance(body, StatementMade):
        return _COMPACT.encode(plain).encode()
    return rfc8785.dumps(plain)


def from_bytes(body: bytes) -> Body:
    """Read what `to_bytes` wrote. Raises pydantic.ValidationError when the bytes are no entry of ours."""
    return _BODY.validate_json(body)


def subject_of(body: Body) -> str | None:
    """The pseudonym of the subject that the entry is about, if it is about one."""
    return None if isinstance(body, PolicyPublished | ClientChanged | KeyChanged) else body.subject


def commitment(salt: bytes, detail: bytes) -> str:
    """HMAC-SHA-256 of the personal detail's bytes under a random 32-byte salt, in hex.

    While salt and detail exist, the entry proves the detail; once they are deleted, it says nothing about it.
    """
    return hmac.digest(salt, detail, "sha256").hex()


def detail_bytes(detail: JsonObject) -> bytes:
    """The canonical JSON (RFC 8785) of a personal detail; by the quicker way where all of it is text."""
    if all(isinstance(one, str) for one in detail.values()) and "".join(detail).isascii():
        return _COMPACT.encode(detail).encode()
    return rfc8785.dumps(detail)
