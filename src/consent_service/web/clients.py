"""The systems that may ask, and their keys."""

from typing import Annotated, Self

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict, Field

from consent_service.core.clients import Client, Scope
from consent_service.examples import CLIENT
from consent_service.operations import clients
from consent_service.operations.clients import CreatedClient, NewClient
from consent_service.web import forms
from consent_service.web.bodies import Body, InstantIn, StrictRoute
from consent_service.web.checks import PurposeCode
from consent_service.web.consents import Limit
from consent_service.web.deps import Reader, Writer, changes, reads, writes
from consent_service.web.openapi import READING, WRITING, Tag
from consent_service.web.outputs import Instant, Output
from consent_service.web.problems import documented

router = APIRouter(route_class=StrictRoute, tags=[Tag.CLIENTS])

NamespaceIn = Annotated[str, Field(pattern=forms.NAMESPACE, examples=["crm"])]


class ClientIn(Body):
    """A system that is to get a key. Without purposes or namespaces it may touch all of them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "mailer",
                    "scopes": ["check"],
                    "purposes": ["marketing"],
                    "namespaces": ["person", "crm"],
                }
            ]
        }
    )

    name: str = Field(min_length=1, max_length=100, pattern=forms.NAME)
    scopes: list[Scope] = Field(min_length=1)
    purposes: list[PurposeCode] = Field(default_factory=list, max_length=100)
    namespaces: list[NamespaceIn] = Field(default_factory=list, max_length=100)
    expires_at: InstantIn | None = Field(default=None, description="From this instant on the key opens nothing.")


class ClientOut(Output):
    """A client. Empty purposes or namespaces mean all of them."""

    id: str
    name: str
    scopes: list[Scope]
    purposes: list[str]
    namespaces: list[str]
    created_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None

    @classmethod
    def of(cls, client: Client) -> Self:
        """From the product's own value."""
        return cls(
            id=client.id,
            name=client.name,
            scopes=sorted(client.scopes),
            purposes=list(client.purposes),
            namespaces=list(client.namespaces),
            created_at=client.created_at,
            expires_at=client.expires_at,
            revoked_at=client.revoked_at,
        )


class CreatedClientOut(ClientOut):
    """A client just made, with its key. The key is stored only as a hash and never shown again."""

    key: str


class ClientsOut(Output):
    """A page of clients. `next` goes into `after` for the next page; null at the end."""

    items: list[ClientOut]
    next: str | None


@router.post(
    "/v1/clients",
    operation_id="createClient",
    summary="Give a system a key",
    status_code=201,
    responses=documented(*WRITING, "client_not_permitted", "client_name_taken"),
)
async def create(body: ClientIn, writer: Annotated[Writer, writes(Scope.CLIENTS_WRITE)]) -> CreatedClientOut:
    """The key is in the answer, once. You can only give what your own key has."""
    made = await writer.once("create_client", body, CreatedClient, clients.create, _new_client(body))
    return CreatedClientOut(**ClientOut.of(made.client).model_dump(), key=made.key)


@router.get(
    "/v1/clients",
    operation_id="listClients",
    summary="See which systems have keys",
    responses=documented(*READING),
)
async def listed(
    reader: Annotated[Reader, reads(Scope.CLIENTS_WRITE)],
    after: Annotated[str | None, Query(max_length=40, description="Go on behind this id.")] = None,
    limit: Limit = 100,
) -> ClientsOut:
    """All clients in the order in which they were made, the revoked ones too."""
    found = await reader.run(clients.listed, after=after, limit=limit + 1)
    page = found[:limit]
    return ClientsOut(items=[ClientOut.of(client) for client in page], next=page[-1].id if len(found) > limit else None)


@router.delete(
    "/v1/clients/{id}",
    operation_id="revokeClient",
    summary="Revoke a key",
    status_code=204,
    responses=documented(*READING, "client_not_found"),
)
async def revoke(
    id: Annotated[str, Path(description="The client's `cli_…`.", openapi_examples={"example": {"value": CLIENT}})],  # noqa: A002 (the path's own word)
    writer: Annotated[Writer, changes(Scope.CLIENTS_WRITE)],
) -> None:
    """From the next request on the key opens nothing. Revoking twice changes nothing."""
    await writer.run(clients.revoke, id)


def _new_client(body: ClientIn) -> NewClient:
    return NewClient(body.name, tuple(body.scopes), tuple(body.purposes), tuple(body.namespaces), body.expires_at)
