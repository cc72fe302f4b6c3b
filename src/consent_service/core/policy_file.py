"""The policy's file: YAML, read strictly, since a mistake here is a wrong answer everywhere.

The same shape as plain JSON is what is published, hashed and stored (`to_document`, `from_document`).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import chain
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from consent_service.core.errors import MORE_FAULTS, first_of
from consent_service.core.instants import instant, to_text
from consent_service.core.policy import (
    QUIET_PERIOD_DAYS,
    Basis,
    Controller,
    DisclosureGround,
    GuardianRule,
    Handover,
    MinorRule,
    Policy,
    Purpose,
    Source,
    SubjectKind,
    Text,
    Wording,
)
from consent_service.core.policy_yaml import JsonObject, Path, PolicyFileError, WrongPlace, line_of, located

_Code = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
_LONGEST_CODE = 200
_Line = Annotated[str, Field(min_length=1, max_length=4000)]


class _Node(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class _Text(_Node):
    en: _Line
    ja: _Line

    def text(self) -> Text:
        return Text(self.en, self.ja)


class _Wording(_Text):
    number: int = Field(default=1, ge=1, le=1_000_000, strict=True)
    counts_from: int | None = Field(default=None, ge=1, strict=True)

    @model_validator(mode="after")
    def _counts_from_one_that_was(self) -> Self:
        if (self.counts_from or 1) > self.number:
            raise ValueError("`counts_from` is the number of an earlier wording, or of this one")
        return self

    def wording(self) -> Wording:
        return Wording(self.number, self.text(), self.counts_from or 1)


class _Controller(_Node):
    name: _Line
    school: _Line
    division: _Line


class _Source(_Node):
    file: _Line
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def _no_bare_number(value: object) -> object:
    """A bare number would be taken for seconds since 1970, and so for a day long past."""
    if str(value).lstrip("-").replace(".", "", 1).isdigit():
        raise ValueError("write it as text, such as 2026-11-01")
    return value


_Day = Annotated[date, BeforeValidator(_no_bare_number)]
_Moment = Annotated[AwareDatetime, BeforeValidator(_no_bare_number), AfterValidator(instant), PlainSerializer(to_text)]


class _MinorRule(_Node):
    from_: _Day = Field(alias="from")
    under_age: int = Field(ge=1, le=30, strict=True)


class _Ground(_Node):
    code: _Code
    wording: _Text


class _Purpose(_Node):
    code: _Code
    wording: _Wording
    dpv: list[Annotated[str, Field(pattern=r"^https://w3id\.org/dpv")]] = Field(default_factory=list)
    purposes: list["_Purpose"] | None = Field(default=None, min_length=1)
    basis: Basis | None = None
    survives_membership: bool | None = Field(default=None, strict=True)
    guardians: GuardianRule | None = None
    concomitant: bool = Field(default=False, strict=True)
    open: bool = Field(default=False, strict=True)

    @model_validator(mode="after")
    def _either_leaf_or_not(self) -> Self:
        of_a_leaf = (self.basis, self.survives_membership, self.guardians)
        kinds = [self.purposes is not None, self.concomitant, self.open]
        if sum(kinds) > 1:
            raise ValueError("a purpose is a branch with `purposes`, `concomitant` or `open`, and only one of them")
        if any(kinds) and any(member is not None for member in of_a_leaf):
            raise ValueError("only a leaf has `basis`, `survives_membership` and `guardians`; move them to the leaves")
        if not any(kinds) and (self.basis is None or self.survives_membership is None):
            raise ValueError("a leaf needs `basis` and `survives_membership`")
        return self

    def purpose(self, above: str = "") -> Purpose:
        code = f"{above}{self.code}"
        return Purpose(
            code,
            self.wording.wording(),
            tuple(self.dpv),
            tuple(below.purpose(f"{code}.") for below in self.purposes or ()),
            self.basis or Basis.CONSENT,
            bool(self.survives_membership),
            self.guardians or GuardianRule.ANY_REFUSAL_WINS,
            self.concomitant,
            self.open,
        )


class _File(_Node):
    policy: _Code
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    title: _Text
    controller: _Controller
    contact: _Line
    law: _Text
    effective_from: _Day
    effective_at: _Moment | None = None
    source: _Source | None = None
    namespaces: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")], SubjectKind]
    minor_rules: list[_MinorRule]
    purposes: list[_Purpose] = Field(min_length=1)
    quiet_period_days: int = Field(default=QUIET_PERIOD_DAYS, ge=0, le=36_500, strict=True)
    handover: Handover | None = None
    handover_grace_days: int | None = Field(default=None, ge=0, le=3660, strict=True)
    disclosure_grounds: list[_Ground]

    def made(self) -> Policy:
        return Policy(
            self.policy,
            self.version,
            self.title.text(),
            Controller(self.controller.name, self.controller.school, self.controller.division),
            self.contact,
            self.law.text(),
            self.effective_from,
            Source(self.source.file, self.source.sha256) if self.source else None,
            self.namespaces,
            tuple(MinorRule(rule.from_, rule.under_age) for rule in self.minor_rules),
            tuple(purpose.purpose() for purpose in self.purposes),
            tuple(DisclosureGround(ground.code, ground.wording.text()) for ground in self.disclosure_grounds),
            self.quiet_period_days,
            self.effective_at,
            self.handover or Handover.RECONFIRM,
            self.handover_grace_days or 0,
        )


def parse(text: str, *, name: str, source_text: bytes | None = None) -> Policy:
    """Read a policy file. `source_text` is the text that the file names as its source, to be held against it.

    Raises PolicyFileError with the name, and the line and a sentence for each wrong place; of very many for the first.
    """
    document, lines = located(text, name=name)
    return _policy(document, name, lines, source_text)


def from_document(document: JsonObject, *, name: str) -> Policy:
    """Read what `to_document` wrote, or what came over HTTP. Raises PolicyFileError, without a line."""
    return _policy(document, name, {}, None)


def to_document(policy: Policy) -> JsonObject:
    """The policy as plain JSON, in the file's own shape."""
    made = _File(
        policy=policy.code,
        version=policy.version,
        title=_text(policy.title),
        controller=_Controller(
            name=policy.controller.name, school=policy.controller.school, division=policy.controller.division
        ),
        contact=policy.contact,
        law=_text(policy.law),
        effective_from=policy.effective_from,
        effective_at=policy.effective_at,
        source=policy.source and _Source(file=policy.source.file, sha256=policy.source.sha256),
        namespaces=dict(policy.namespaces),
        minor_rules=[_MinorRule(from_=rule.from_, under_age=rule.under_age) for rule in policy.minor_rules],
        quiet_period_days=policy.quiet_period_days,
        handover=None if policy.handover is Handover.RECONFIRM else policy.handover,
        handover_grace_days=policy.handover_grace_days or None,
        purposes=[_to_node(purpose) for purpose in policy.purposes],
        disclosure_grounds=[
            _Ground(code=ground.code, wording=_text(ground.wording)) for ground in policy.disclosure_grounds
        ],
    )
    return made.model_dump(mode="json", by_alias=True, exclude_none=True)


def _to_node(purpose: Purpose) -> _Purpose:
    leaf = purpose.is_leaf
    text = purpose.wording.text
    return _Purpose(
        code=purpose.code.rpartition(".")[2],
        wording=_Wording(
            number=purpose.wording.number,
            counts_from=purpose.wording.counts_from if purpose.wording.counts_from > 1 else None,
            en=text.en,
            ja=text.ja,
        ),
        dpv=list(purpose.dpv),
        purposes=[_to_node(below) for below in purpose.purposes] or None,
        basis=purpose.basis if leaf else None,
        survives_membership=purpose.survives_membership if leaf else None,
        guardians=purpose.guardians if leaf else None,
        concomitant=purpose.concomitant,
        open=purpose.open,
    )


def _text(text: Text) -> _Text:
    return _Text(en=text.en, ja=text.ja)


def _policy(document: JsonValue, name: str, lines: Mapping[Path, int], source_text: bytes | None) -> Policy:
    try:
        read = _File.model_validate(document)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_context=False, include_url=False)
        found = ((one["loc"], _sentence(one["loc"], one["type"], one["msg"])) for one in errors)
        raise PolicyFileError(name, *_places(found, lines)) from None
    if wrong := _places(chain(_duplicates(read), _unsorted(read), _strayed(read, source_text)), lines):
        raise PolicyFileError(name, *wrong)
    return read.made()


_MORE = WrongPlace(None, MORE_FAULTS)


def _places(wrong: Iterable[tuple[Path, str]], lines: Mapping[Path, int]) -> list[WrongPlace]:
    """The first of them, in the order of the file."""
    found = (WrongPlace(line_of(path, lines), sentence, path) for path, sentence in wrong)
    return sorted(first_of(found, _MORE), key=lambda one: (one is _MORE, one.line or 0))


def _duplicates(read: _File) -> Iterator[tuple[Path, str]]:
    yield from _twice("purposes", [purpose.code for purpose in read.purposes])
    yield from _twice("disclosure_grounds", [ground.code for ground in read.disclosure_grounds])
    for position, purpose in enumerate(read.purposes):
        yield from _twice_below(("purposes", position), purpose)
        yield from _too_long(("purposes", position), purpose, "")


def _twice_below(path: Path, purpose: _Purpose) -> Iterator[tuple[Path, str]]:
    below = purpose.purposes or []
    for (where, position), sentence in _twice("purposes", [one.code for one in below]):
        yield (*path, where, position), sentence
    for position, one in enumerate(below):
        yield from _twice_below((*path, "purposes", position), one)


def _too_long(path: Path, purpose: _Purpose, above: str) -> Iterator[tuple[Path, str]]:
    code = f"{above}{purpose.code}"
    if len(code) > _LONGEST_CODE:
        yield (*path, "code"), f"a code has {_LONGEST_CODE} characters at most, with those of the branches above it"
        return
    for position, one in enumerate(purpose.purposes or []):
        yield from _too_long((*path, "purposes", position), one, f"{code}.")


def _twice(where: str, codes: Sequence[str]) -> Iterator[tuple[tuple[str, int], str]]:
    before: set[str] = set()
    for position, code in enumerate(codes):
        if code in before:
            yield (
                (where, position),
                f"the code {code} stands here twice; codes are unique among their siblings",
            )
        before.add(code)


def _unsorted(read: _File) -> Iterator[tuple[Path, str]]:
    days = [rule.from_ for rule in read.minor_rules]
    for position in range(1, len(days)):
        if days[position] <= days[position - 1]:
            yield ("minor_rules", position), "minor_rules go by `from`, the earliest first, each day once"


def _strayed(read: _File, source_text: bytes | None) -> Iterator[tuple[Path, str]]:
    """Where the file and its source text differ: the SHA-256, or a wording that is not in it word for word."""
    if read.source is None or source_text is None:
        return
    if hashlib.sha256(source_text).hexdigest() != read.source.sha256:
        yield ("source", "sha256"), f"this is not the SHA-256 of {read.source.file}"
    try:
        source = source_text.decode()
    except UnicodeDecodeError:
        yield ("source", "file"), f"{read.source.file} is not UTF-8; save it as UTF-8"
        return
    sentence = (
        f"this wording does not stand in {read.source.file}; copy it character for character, or put the new text "
        "beside this file, with its name and SHA-256 in `source`, or leave `source` out"
    )
    wordings: list[tuple[Path, str]] = [
        *((("purposes", i, "wording", "en"), purpose.wording.en) for i, purpose in enumerate(read.purposes)),
        *(
            (("disclosure_grounds", i, "wording", "en"), one.wording.en)
            for i, one in enumerate(read.disclosure_grounds)
        ),
    ]
    for path, wording in wordings:
        if wording not in source:
            yield path, sentence


_SENTENCES = {
    "missing": "`{member}` is missing",
    "extra_forbidden": "`{member}` is not a key that a policy has here; correct it or leave it out",
    "date_from_datetime_parsing": "`{member}` is not a date; write it as 2026-11-01",
    "date_parsing": "`{member}` is not a date; write it as 2026-11-01",
}


def _sentence(path: Path, kind: str, message: str) -> str:
    member = next((str(step) for step in reversed(path) if isinstance(step, str)), "the policy")
    known = _SENTENCES.get(kind)
    return known.format(member=member) if known else f"`{member}`: {message.removeprefix('Value error, ')}"
