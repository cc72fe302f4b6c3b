"""Editing policies, and short words for publishing them."""

import copy
from typing import Any

import httpx

from consent_service.core.policy_file import to_document
from consent_service.policies import shipped
from tests.school import School

Json = Any

MATERIAL_TEXT = {"en": "Something else altogether", "ja": "まったく別のこと"}


def edited(version: str, base: Json = None) -> Json:
    """The shipped policy, or another one, as a document under a new name; without its source, to be edited freely."""
    document: Json = copy.deepcopy(base) if base else to_document(shipped())
    document.pop("source", None)
    return document | {"version": version}


def node(document: Json, code: str) -> Json:
    """The purpose of this code in a document."""
    purposes, found = document["purposes"], None
    for step in code.split("."):
        found = next(one for one in purposes if one["code"] == step)
        purposes = found.get("purposes", [])
    return found


def reworded(document: Json, *codes: str, text: Json = None) -> Json:
    """The document with these purposes' wordings changed."""
    for code in codes:
        node(document, code)["wording"] |= text or MATERIAL_TEXT
    return document


def without(document: Json, code: str) -> Json:
    """The document without this purpose."""
    above, _, last = code.rpartition(".")
    purposes = node(document, above)["purposes"] if above else document["purposes"]
    purposes[:] = [one for one in purposes if one["code"] != last]
    return document


def leaf(code: str, **more: Json) -> Json:
    """A new leaf, to be put into a document."""
    wording = {"en": f"For {code}", "ja": f"{code}のため"}
    return {"code": code, "wording": wording, "basis": "consent", "survives_membership": False, **more}


async def publish(school: School, document: Json, *, dry_run: bool = False, **said: Json) -> httpx.Response:
    """Publish, or only look what that would do."""
    headers = {"Idempotency_Key": said.pop("key")} if "key" in said else {}
    path = "/v1/policy/versions" + ("?dry_run=true" if dry_run else "")
    return await school.post(path, {"policy": document, **said}, **headers)


async def published(school: School, document: Json, **said: Json) -> Json:
    """Publish, and answer the body of a 201."""
    response = await publish(school, document, **said)
    assert response.status_code == 201, response.text
    return response.json()


async def previewed(school: School, document: Json, **said: Json) -> Json:
    """Look what publishing would do, and answer the body of a 200."""
    response = await publish(school, document, dry_run=True, **said)
    assert response.status_code == 200, response.text
    return response.json()
