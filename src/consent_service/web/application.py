"""Puts the routes, the limits and the edge together."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.types import Receive, Scope, Send

from consent_service import __version__
from consent_service.web import (
    asks,
    authzen,
    checks,
    clients,
    consents,
    decisions,
    docs,
    guardianships,
    handovers,
    keys,
    ledger,
    merging,
    people,
    policies,
    problems,
    publications,
    receipts,
    service,
    tallies,
    worklist,
)
from consent_service.web.edge import Edge, Measures
from consent_service.web.limits import BodyLimit, Rate, RateLimit
from consent_service.web.openapi import GUIDE, TAGS, TITLE
from consent_service.web.slim import Slim

_MODULES = (
    people,
    merging,
    guardianships,
    handovers,
    consents,
    asks,
    receipts,
    checks,
    decisions,
    policies,
    publications,
    clients,
    ledger,
    service,
    tallies,
    worklist,
    authzen,
    keys,
    docs,
)

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Application(FastAPI):
    """FastAPI with our own layers around it, not inside: the slim path passes by all of its machinery."""

    def surround(self, rate: str) -> None:
        """Put the layers around: the edge, then what turns failures into problems, then the limits."""
        held, measures = Rate(rate), self.state.measures
        layers = Edge(problems.Failures(BodyLimit(RateLimit(super().__call__, held))), measures)
        self.slim = Slim(layers, measures, held)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        scope["app"] = self
        await self.slim(scope, receive, send)


def application(rate: str, lifespan: Lifespan) -> Application:
    """The HTTP application. `lifespan` opens the Room and puts it into `app.state.room`."""
    app = Application(
        title=TITLE,
        version=__version__,
        description=GUIDE,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    for module in _MODULES:
        app.include_router(module.router)
    app.mount("/docs/assets", docs.ASSETS)
    problems.install(app)
    app.state.measures = Measures()
    app.add_middleware(problems.Failures)  # before Starlette's own sees a failure
    app.surround(rate)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


def _drop_foreign_errors(paths: dict[str, dict[str, Any]]) -> None:
    """FastAPI documents a 422 of its own shape for each route with a parameter; ours stand where they occur."""
    for operations in paths.values():
        for operation in operations.values():
            if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                del operation["responses"]["422"]


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: FastAPI's own, with our one shape of errors in place of its."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
            license_info=app.license_info,
        )
        schemas = made["components"]["schemas"]
        schemas["Problem"] = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas["WrongMember"] = schemas["Problem"].pop("$defs")["WrongMember"]
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        _drop_foreign_errors(made["paths"])
        app.openapi_schema = made
    return app.openapi_schema
