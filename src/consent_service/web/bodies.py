"""Reading bodies strictly: one meaning for every parser, and no text that a database would refuse.

Duplicate members, NaN and unpaired surrogates are refused (RFC 7493, I-JSON), and so is NUL (PostgreSQL has no place
for it).
"""

import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import date, datetime
from typing import Annotated, Any, ClassVar, NoReturn

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from consent_service.core.errors import Fault, InvalidInput, MalformedJson, WrongMediaType
from consent_service.core.instants import instant

WRONG_MEMBERS = "The request has members that cannot be accepted; see errors."


def _written(kind: str) -> BeforeValidator:
    """Only text says when: of a number nobody knows what it counts, and since when."""

    def read(value: object) -> object:
        if isinstance(value, str) and value[4:5] == "-":
            return value
        raise PydanticCustomError(kind, "not as RFC 3339 has it")

    return BeforeValidator(read)


InstantIn = Annotated[datetime, AfterValidator(instant), _written("datetime_parsing")]
"""An instant that comes in: RFC 3339 with an offset, cut to the millisecond."""

DateIn = Annotated[date, _written("date_parsing")]
"""A day that comes in: 2026-04-01."""


class Body(BaseModel):
    """A request body: unknown members are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StrictRoute(APIRoute):
    """A route that reads its body by the rules above, and refuses query parameters that it does not have."""

    ignores_others: ClassVar[bool] = False
    """Whether it takes no notice of those instead."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook."""
        handle, has_body = super().get_route_handler(), self.body_field is not None
        known = list(_query(self.dependant))

        async def handle_strictly(request: Request) -> Response:
            if not self.ignores_others:
                _refuse_others([name for name, _ in request.query_params.multi_items()], known)
            if has_body:
                refuse_other_media_types(request.headers.get("content-type", ""))
                request._json = parsed(await request.body())  # noqa: SLF001 (where Starlette keeps the parsed body)
            return await handle(request)

        return handle_strictly


def _query(dependant: Dependant) -> Iterator[str]:
    """The query parameters of a route, its dependencies' own too."""
    yield from (one.alias for one in dependant.query_params)
    for below in dependant.dependencies:
        yield from _query(below)


def _refuse_others(given: Sequence[str], known: Sequence[str]) -> None:
    """Whoever misspells `dry_run` would publish, and so would who says it twice. Raises InvalidInput."""
    there = f"there are: {', '.join(known)}" if known else "there is none"
    told = f"no such query parameter here; {there}"
    faults = [Fault(f"query/{name}", told) for name in dict.fromkeys(given) if name not in known]
    faults += [Fault(f"query/{name}", "give this query parameter once") for name in known if given.count(name) > 1]
    if faults:
        raise InvalidInput(WRONG_MEMBERS, errors=faults)


def parsed(body: bytes) -> Any:  # noqa: ANN401 (JSON, on its way to pydantic)
    """The JSON value. Raises MalformedJson, or InvalidInput for text that cannot be stored."""
    try:
        value = _DECODER.decode(body.decode())
        faults = _faults(value, "") if b"\\u" in body else []  # NUL and surrogates come in as escapes only
    except (ValueError, RecursionError) as error:
        what = str(error) if isinstance(error, _Ambiguous) else "the body is not JSON (RFC 8259) in UTF-8"
        raise MalformedJson(f"Send a JSON object: {what}.") from None
    if not isinstance(value, dict):
        raise InvalidInput.at("", "send a JSON object, in braces")
    if faults:
        raise InvalidInput("The body has text that cannot be stored; see errors.", errors=faults)
    return value


class _Ambiguous(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Ambiguous("an object has the same member twice")
    return made


def _refuse_constant(_: str) -> NoReturn:
    raise _Ambiguous("NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)


def _faults(value: Any, pointer: str) -> list[Fault]:  # noqa: ANN401 (JSON)
    match value:
        case str():
            return [Fault(pointer, wrong)] if (wrong := _wrong_text(value)) else []
        case list():
            return [fault for i, item in enumerate(value) for fault in _faults(item, f"{pointer}/{i}")]
        case dict():
            wrong_names = [
                Fault(pointer, f"a member's name: {wrong}") for name in value if (wrong := _wrong_text(name))
            ]
            return wrong_names or [f for name, item in value.items() for f in _faults(item, f"{pointer}/{name}")]
        case _:
            return []


def _wrong_text(text: str) -> str | None:
    if "\x00" in text:
        return "text has no NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "text has no unpaired surrogates"
    return None


def refuse_other_media_types(content_type: str) -> None:
    """Take a body only as JSON. Raises WrongMediaType."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise WrongMediaType("Send the body as JSON, with the header Content-Type: application/json.")
