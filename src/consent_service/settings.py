"""The settings: one frozen object, read from the environment by the roots (app and cli) and passed down as values."""

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from consent_service.faults import StartFault

_DATABASE = re.compile(r"sqlite(\+\w+)?:///(?!:memory:).|postgres(ql)?(\+\w+)?://", re.IGNORECASE)


class DecisionLog(StrEnum):
    """Whether decisions are on record before their answers leave."""

    DURABLE = "durable"
    OFF = "off"


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed), Field(min_length=1)]
"""Names with commas between them."""


class Settings(BaseSettings):
    """Every setting, by its name in the environment without CONSENT_; docs/settings.md says what each is for."""

    model_config = SettingsConfigDict(env_prefix="CONSENT_", frozen=True, extra="ignore", arbitrary_types_allowed=True)

    data_dir: Path = Path("var")
    database_url: SecretStr | None = None
    database_url_file: Path | None = None
    default_namespace: str = Field(default="person", pattern=r"^[a-z][a-z0-9_-]{0,31}$")
    time_zone: ZoneInfo = ZoneInfo("Asia/Tokyo")
    decision_log: DecisionLog = DecisionLog.DURABLE
    decision_retention_days: int = Field(default=400, ge=1, le=36_500)
    ledger_origin: str = Field(default="consent-service/ledger", pattern=r"^[!-*,-~]{1,255}$")
    anchor_file: Path | None = None
    rate_limit: str = "2000/second"
    authzen_subject_types: Names = ("client",)
    authzen_resource_types: Names = ("person",)
    keys_dir: Path | None = None
    master_key: SecretStr | None = None
    master_key_file: Path | None = None
    receipt_key: SecretStr | None = None
    receipt_key_file: Path | None = None
    checkpoint_key: SecretStr | None = None
    checkpoint_key_file: Path | None = None
    seal_key: SecretStr | None = None
    seal_key_file: Path | None = None
    identifier_pepper: SecretStr | None = None
    identifier_pepper_file: Path | None = None
    client_pepper: SecretStr | None = None
    client_pepper_file: Path | None = None
    url: str | None = None
    key: SecretStr | None = None
    key_file: Path | None = None

    @property
    def database(self) -> str:
        """Where the database is; the embedded one in the data directory unless a setting says otherwise.

        Raises StartFault for what names no database.
        """
        given = secret(self.database_url, self.database_url_file)
        if given and not _names_a_database(given):
            raise StartFault("CONSENT_DATABASE_URL: a database is sqlite:///path or postgresql://user@host:5432/name")
        return given or f"sqlite:///{self.data_dir.absolute() / 'consent.db'}"

    @property
    def keys(self) -> Path:
        """Where the secrets lie that are not given in the environment."""
        return self.keys_dir or self.data_dir / "keys"

    @property
    def anchors(self) -> Path:
        """Where checkpoints are kept outside the database."""
        return self.anchor_file or self.data_dir / "anchors.ndjson"

    @property
    def client_key(self) -> str | None:
        """The key with which the command line asks a running service."""
        return secret(self.key, self.key_file)


def secret(value: SecretStr | None, file: Path | None) -> str | None:
    """A secret from the environment, or from the file that the environment names; None when neither is set.

    Raises StartFault for a file that cannot be read.
    """
    if value is not None:
        return value.get_secret_value()
    try:
        return file.read_text().strip() if file is not None else None
    except OSError as error:
        raise StartFault(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise StartFault(f"{file} is not UTF-8") from None


def _names_a_database(url: str) -> bool:
    try:
        return _DATABASE.match(url) is not None and (urlsplit(url).port or 1) > 0
    except ValueError:  # no port, or no address
        return False


def read_settings() -> Settings:
    """The settings as the environment has them. Raises StartFault, naming those that are wrong."""
    try:
        return Settings()
    except (ValidationError, SettingsError) as error:
        faults = error.errors() if isinstance(error, ValidationError) else []
        told = [f"CONSENT_{str(one['loc'][0]).upper()}: {one['msg'].removeprefix('Value error, ')}" for one in faults]
        raise StartFault("; ".join(told) or str(error)) from None
