"""Asking a running service over HTTP, when CONSENT_URL and CONSENT_KEY are set."""

import httpx
from pydantic import JsonValue, TypeAdapter

from consent_service.cli.commands import RemoteProblem, in_words
from consent_service.core.errors import Fault
from consent_service.settings import Settings

_JSON: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])


def is_set(settings: Settings) -> bool:
    """Whether the command is to go over HTTP."""
    return settings.url is not None and settings.client_key is not None


def ask(
    settings: Settings, method: str, path: str, body: dict[str, JsonValue] | None = None, *, patience: float = 10
) -> dict[str, JsonValue]:
    """Send one request and wait so many seconds; answers its JSON, {} if it has none. Raises RemoteProblem."""
    if not settings.client_key:
        raise RemoteProblem("CONSENT_KEY is empty")
    try:
        response = httpx.request(
            method,
            f"{(settings.url or '').rstrip('/')}{path}",
            json=body,
            headers={"Authorization": f"Bearer {settings.client_key}"},
            timeout=patience,
        )
    except httpx.HTTPError as error:
        raise RemoteProblem(f"no answer from {settings.url}: {str(error) or type(error).__name__}") from None
    if response.status_code == httpx.codes.NO_CONTENT:
        return {}
    answer = _JSON.validate_json(response.content) if "json" in response.headers.get("content-type", "") else {}
    if not response.is_success:
        raise RemoteProblem(_told(response.status_code, answer))
    return answer


def _told(status: int, problem: dict[str, JsonValue]) -> str:
    wrong = problem.get("errors")
    listed = wrong if isinstance(wrong, list) else []
    told = in_words(Fault(str(one["pointer"]), str(one["detail"])) for one in listed if isinstance(one, dict))
    return f"{status} {problem.get('code', '')}: {told or problem.get('detail', 'no detail')}"
