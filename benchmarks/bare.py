"""What the service is compared with: one route that does nothing, in FastAPI and in Starlette. No database, no key."""

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

PATH = "/answer"

fastapi = FastAPI(openapi_url=None)


class Question(BaseModel):
    """A body of the check's shape."""

    subject: str
    purpose: str
    within: str | None = None


class Reason(BaseModel):
    """A reason of the check's shape."""

    code: str
    purpose: str
    message: str
    index: int | None


class Answer(BaseModel):
    """An answer of the check's shape."""

    permitted: bool
    reasons: list[Reason]
    purpose: str
    policy_version: str
    expires_at: str | None
    as_of: int
    decision_id: str
    decided_at: str


@fastapi.post(PATH)
async def answer(question: Question) -> Answer:
    """Say yes, whatever the question."""
    return Answer(
        permitted=True,
        reasons=[Reason(code="consent_granted", purpose=question.purpose, message="Consent was given.", index=7)],
        purpose=question.purpose,
        policy_version="2026-11-01",
        expires_at=None,
        as_of=1000,
        decision_id="dec_01J00000000000000000000000",
        decided_at="2026-11-23T02:10:11.512Z",
    )


async def _plain(request: Request) -> JSONResponse:
    question = await request.json()
    return JSONResponse({"permitted": True, "purpose": question["purpose"]})


starlette = Starlette(routes=[Route(PATH, _plain, methods=["POST"])])
