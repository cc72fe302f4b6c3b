"""The secrets' files: read at start, made at the first start, private to the service."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from consent_service.core.ids import Entropy
from consent_service.core.keyring import KEY_BYTES, Keyring
from consent_service.settings import Settings, secret


class KeyFault(Exception):
    """A secret that cannot be used; the message says which and how to put it right."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keyring, and those of its secrets that are new and not yet in a file."""

    keyring: Keyring
    unsaved: Mapping[Path, bytes]

    def save(self) -> None:
        """Write the new secrets, each readable by the service's own user alone."""
        for path, key in self.unsaved.items():
            write_private(path, key.hex() + "\n")


def load(settings: Settings, entropy: Entropy) -> Keys:
    """Read each secret from the environment, from the file it names, or from the keys directory; make what is missing.

    Raises KeyFault for a secret that is not 64 hexadecimal digits.
    """
    unsaved: dict[Path, bytes] = {}

    def key(name: str, given: str | None) -> bytes:
        path = settings.keys / f"{name}.key"
        if given is None and not path.exists():
            unsaved[path] = entropy(KEY_BYTES)
            return unsaved[path]
        return _decoded(name, given if given is not None else path.read_text())

    keyring = Keyring(
        key("master_key", secret(settings.master_key, settings.master_key_file)),
        key("identifier_pepper", secret(settings.identifier_pepper, settings.identifier_pepper_file)),
        key("client_pepper", secret(settings.client_pepper, settings.client_pepper_file)),
    )
    return Keys(keyring, unsaved)


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner may read, and see it on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _decoded(name: str, text: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyFault(
            f"CONSENT_{name.upper()} is not {2 * KEY_BYTES} hexadecimal digits; make one: openssl rand -hex 32"
        )
    return key
