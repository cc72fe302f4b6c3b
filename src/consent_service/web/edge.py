"""The edge, as pure ASGI: request ids, security headers, and what is measured."""

import base64
import hashlib
import random
import re
import time
from collections.abc import Iterable, MutableMapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RawHeaders = list[tuple[bytes, bytes]]

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_POLICY = b"content-security-policy"
_API_POLICY = (_POLICY, b"default-src 'none'; frame-ancestors 'none'")
_DOCS_POLICY = (
    _POLICY,
    b"default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
)

_SECURITY = ((b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"))
_NO_STORE = (b"cache-control", b"no-store")
_API = (_API_POLICY, *_SECURITY, _NO_STORE)
_FOR_A_PAGE = ((b"referrer-policy", b"no-referrer"), (b"cross-origin-resource-policy", b"same-origin"))
_HTTPS_ONLY = (b"strict-transport-security", b"max-age=63072000")


GONE = 499
"""What is measured for a caller that went away before there was an answer; nobody is ever sent it."""


class Measures:
    """What /metrics shows. Labels are route templates, never paths, which hold pseudonyms."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "consent_requests",
            "Requests by route and status.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "consent_request_seconds",
            "Time to answer, by route.",
            ["method", "route"],
            registry=self.registry,
        )
        self.decisions = Counter("consent_decisions", "Answers to checks.", ["permitted"], registry=self.registry)
        self.untrusted = Gauge(
            "consent_untrusted_records",
            "Rows that failed their seals or were not the newest, since the start; anything but 0 is an alert.",
            registry=self.registry,
        )
        self._permitted = {answer: self.decisions.labels(str(answer).lower()) for answer in (True, False)}
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def count(self, permitted: bool) -> None:
        """Count one answer to a check."""
        self._permitted[permitted].inc()

    def count_all(self, permitted: Iterable[bool]) -> None:
        """Count the answers to many checks."""
        answers = list(permitted)
        yeses = sum(answers)
        self._permitted[True].inc(yeses)
        self._permitted[False].inc(len(answers) - yeses)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request and the time that it took."""
        series = self._series.get((method, route, status))
        if series is None:
            series = self.requests.labels(method, route, str(status)), self.seconds.labels(method, route)
            self._series[method, route, status] = series
        series[0].inc()
        series[1].observe(seconds)


class Edge:
    """Wraps the application: gives each request an id, each response its headers, and measures both."""

    def __init__(self, app: ASGIApp, measures: Measures) -> None:
        self._app = app
        self._measures = measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = request_id(header_of(scope, b"x-request-id"))
        scope.setdefault("state", {})["request_id"] = given
        started, status = time.perf_counter(), GONE

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _dressed(list(message.get("headers", ())), scope, given)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            self._measures.observe(scope["method"], route_of(scope), status, time.perf_counter() - started)


def page_policy(style: str) -> str:
    """The Content-Security-Policy of a page that has this one inline style, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def header_of(scope: Scope, name: bytes) -> str | None:
    """A request header, the first of its name, which is in small letters as ASGI has it; None where there is none."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


def request_id_of(scope: MutableMapping[str, object]) -> str:
    """The id that the edge gave this request."""
    state = scope.get("state")
    return str(state["request_id"]) if isinstance(state, dict) and "request_id" in state else ""


def route_of(scope: Scope) -> str:
    """The route's template, such as /v1/subjects/{sub}; empty where no route took the request."""
    return str(getattr(scope.get("route"), "path", ""))


def request_id(given: str | None) -> str:
    """The id that the caller gave the request, if it can be one; else a new one."""
    return given if given and _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"


def api_headers(request_id: str, scope: Scope) -> RawHeaders:
    """The headers that every answer of the API has besides its own."""
    ours = [(b"x-request-id", request_id.encode()), *_API]
    return [*ours, _HTTPS_ONLY] if scope.get("scheme") == "https" else ours


def _dressed(headers: RawHeaders, scope: Scope, request_id: str) -> RawHeaders:
    """An answer's headers with ours. What may be cached says so itself, as a page says what it loads; nothing else."""
    ours, own = api_headers(request_id, scope), {name for name, _ in headers}
    if scope["path"].startswith("/docs"):
        ours = [*(one for one in ours if one != _API_POLICY), _DOCS_POLICY, *_FOR_A_PAGE]
    if _POLICY in own:
        ours = [*(one for one in ours if one != _API_POLICY), *_FOR_A_PAGE]
    if b"cache-control" in own:
        ours.remove(_NO_STORE)
    return [*headers, *ours]
