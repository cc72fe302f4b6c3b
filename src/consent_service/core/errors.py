"""What can go wrong, in the product's own words. `web/problems.py` is the only map from here to HTTP.

A no to a check is not in this file: a no is an answer. An error is when we could not answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong member of an input.

    `pointer` is a JSON Pointer (RFC 6901) into the body; `detail` says what would be right and never repeats
    the offending value.
    """

    pointer: str
    detail: str


MOST_FAULTS = 100
"""How many wrong members are told: a body may have a hundred thousand, and everybody would wait for their sentences."""


MORE_FAULTS = f"more is wrong than these {MOST_FAULTS}"
"""The sentence of the last one, where there are more."""


def first_of(faults: Iterable[T], last: T) -> list[T]:
    """The first faults, of whatever kind, and where there are more `last`; the others are not looked at."""
    told = list(islice(faults, MOST_FAULTS + 1))
    return [*told[:MOST_FAULTS], last] if len(told) > MOST_FAULTS else told


def first_faults(faults: Iterable[Fault]) -> list[Fault]:
    """The first of them, and where there are more a last one that says so."""
    return first_of(faults, Fault("", MORE_FAULTS))


class ConsentError(Exception):
    """The root of every error that a caller may be told about.

    `code` is stable and documented in docs/problems.md; it never changes its meaning.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, detail: str, *, errors: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)


class InvalidInput(ConsentError):
    """The input is well-formed but wrong; `errors` says which members and what would be right."""

    code = "validation_failed"

    @classmethod
    def at(cls, pointer: str, detail: str) -> "InvalidInput":
        """Build the error for a single wrong member."""
        return cls("The request has a member that cannot be accepted; see errors.", errors=[Fault(pointer, detail)])


class MalformedJson(ConsentError):
    """The body is not JSON (RFC 8259), or JSON that two parsers could read differently (RFC 7493)."""

    code = "malformed_json"


class MalformedRequest(ConsentError):
    """The request is not one of OpenID AuthZEN's, which wants a 400 for it (Authorization API 1.0, section 10.1.2)."""

    code = "malformed_request"


class WrongMediaType(ConsentError):
    """The body is not labelled as JSON."""

    code = "unsupported_media_type"


class BodyTooLarge(ConsentError):
    """The body is over the limit for this operation."""

    code = "body_too_large"


class Unauthenticated(ConsentError):
    """No key, or one that is unknown, revoked or expired; which of them is not said."""

    code = "unauthenticated"


class ScopeMissing(ConsentError):
    """The client's key is good, but it was not given the scope that this operation asks for."""

    code = "scope_missing"


class ClientNotPermitted(ConsentError):
    """The client may not touch this purpose or this namespace."""

    code = "client_not_permitted"


class SubjectNotFound(ConsentError):
    """No subject that this client may see has this reference."""

    code = "subject_not_found"


class SubjectErased(ConsentError):
    """The subject was erased; what an answer about them rested on is gone."""

    code = "subject_erased"


class GuardianshipNotFound(ConsentError):
    """No guardianship that this client may see has this id."""

    code = "guardianship_not_found"


class GuardianRequired(ConsentError):
    """A grant for a minor that cannot count: only a verified guardian's does."""

    code = "guardian_required"


class OwnConsentRequired(ConsentError):
    """A guardian's grant for somebody who has come of age."""

    code = "own_consent_required"


class DecisionNotFound(ConsentError):
    """No decision that this client may see has this id."""

    code = "decision_not_found"


class ReceiptNotFound(ConsentError):
    """No statement that this client may see has this index."""

    code = "receipt_not_found"


class PolicyVersionNotFound(ConsentError):
    """No version with this name has been published."""

    code = "policy_version_not_found"


class PurposeNotFound(ConsentError):
    """The policy has no purpose of this code."""

    code = "purpose_not_found"


class ClientNotFound(ConsentError):
    """No client has this id."""

    code = "client_not_found"


class ClientNameTaken(ConsentError):
    """A client that is not revoked has this name already."""

    code = "client_name_taken"


class IdentifierTaken(ConsentError):
    """The identifier names another subject already."""

    code = "identifier_taken"


class IdempotencyKeyReused(ConsentError):
    """The key was used before for another body."""

    code = "idempotency_key_reused"


class TooManyRequests(ConsentError):
    """The client asks faster than it may."""

    code = "too_many_requests"


class Overloaded(ConsentError):
    """The lane's waiting room is full; nothing was done. No answer means no."""

    code = "overloaded"


class Unavailable(ConsentError):
    """The database could not be asked in time.

    A write may or may not have happened: repeat it with the same Idempotency-Key. No answer to a check means no.
    """

    code = "unavailable"


class LedgerRolledBack(ConsentError):
    """The database does not extend what this service has seen or anchored: entries are gone, or are others.

    Nothing is answered from it, for a withdrawal may be gone with them. No answer means no.
    """

    code = "ledger_rolled_back"


class RecordUntrusted(ConsentError):
    """A row that the answer rests on fails its seal or is not the newest, so nothing is built on it.

    A check of the same person is a no, with the reason of the same name.
    """

    code = "record_untrusted"


class LedgerDamaged(ConsentError):
    """The ledger's tree does not fit together, so nothing can be proved or signed until it does."""

    code = "ledger_damaged"
