"""What all answers have in common."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from consent_service.core.instants import to_text

Instant = Annotated[
    datetime,
    PlainSerializer(to_text, return_type=str),
    Field(json_schema_extra={"type": "string", "format": "date-time"}, examples=["2026-11-23T02:10:11.512Z"]),
]
"""RFC 3339 in UTC with milliseconds."""


class Output(BaseModel):
    """An answer: no member has a default, so every one of them is always there."""

    model_config = ConfigDict(from_attributes=True, frozen=True)
