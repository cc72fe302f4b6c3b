"""The secrets' files: made at the first start, read at each start and on SIGHUP, private to the service.

A setting or a file holds one key a line, the oldest first: the last is the next one, the one before it the active one.
A single line is the active one.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from consent_service.core import keys
from consent_service.core.ids import Entropy
from consent_service.core.keyring import KEY_BYTES, Keyring
from consent_service.core.keys import Held, KeyFault, Known, name_of
from consent_service.core.ledger import KeyUse
from consent_service.settings import Settings


@dataclass(frozen=True, slots=True)
class Keys:
    """The secrets that this process holds, and the files of those that are new and not yet in one."""

    held: Held
    unsaved: Mapping[Path, Sequence[bytes]] = field(default_factory=dict)

    @property
    def keyring(self) -> Keyring:
        """The secrets put to use by their places alone, for a database that has not been asked yet."""
        return self.put_to_use({})

    def put_to_use(self, known: Known) -> Keyring:
        """The secrets put to use as the ledger says."""
        return keys.keyring(self.held, known)

    def save(self) -> None:
        """Write the new secrets, each readable by the service's own user alone.

        Raises KeyFault when another process made one in the meantime.
        """
        for path, secrets in self.unsaved.items():
            try:
                write_private(path, _lines(secrets))
            except FileExistsError:
                raise KeyFault(f"{path} was made by another process just now; start again") from None


def load(settings: Settings, entropy: Entropy) -> Keys:
    """Read each secret from the environment, from the file it names, or from the keys directory; make what is missing.

    Of keys that are rotated a next one is made too. Raises KeyFault for what is not keys of 64 hexadecimal digits.
    """
    unsaved: dict[Path, Sequence[bytes]] = {}
    seen: dict[bytes, KeyUse] = {}

    def secrets(use: KeyUse) -> Sequence[bytes]:
        given = _given(settings, use)
        if given is not None:
            return _of_one_use(use, _decoded(use, given), seen)
        path = file_of(settings, use)
        unsaved[path] = [entropy(KEY_BYTES) for _ in range(2 if use in keys.ROTATED else 1)]
        return unsaved[path]

    return Keys({use: secrets(use) for use in KeyUse}, unsaved)


def file_of(settings: Settings, use: KeyUse) -> Path:
    """The file that holds the keys of this use. Raises KeyFault when the environment holds them itself."""
    value, file = _settings_of(settings, use)
    if value is not None:
        raise KeyFault(
            f"{name_of(use)} is in the environment, which only you can change: "
            "add a line to it (openssl rand -hex 32), keep the others, and start the service again"
        )
    return file or settings.keys / f"{keys.SETTINGS[use]}.key"


def add(settings: Settings, use: KeyUse, entropy: Entropy) -> Path:
    """Add a new key to its file, as the next one; the one that was next becomes active. Answers which file.

    The file is replaced as a whole, so a reader sees the old lines or the new ones. Raises KeyFault when it cannot be.
    """
    return replace(settings, use, [*held(settings, use), entropy(KEY_BYTES)])


def held(settings: Settings, use: KeyUse) -> list[bytes]:
    """The keys of one use, the oldest first. Raises KeyFault when there is none yet."""
    given = _given(settings, use)
    if given is None:
        raise KeyFault(f"{file_of(settings, use)} is not there; bring it back, or let a first start make it")
    return _decoded(use, given)


def is_in_file(settings: Settings, use: KeyUse) -> bool:
    """Whether the keys of this use lie in a file, and not in the environment itself."""
    return _settings_of(settings, use)[0] is None


def replace(settings: Settings, use: KeyUse, secrets: Sequence[bytes]) -> Path:
    """Put these keys in place of those in the file. Raises KeyFault when it cannot be written."""
    path = file_of(settings, use).resolve()
    try:
        with _complete(path, _lines(secrets)) as temporary:
            _give_to_owner(temporary, path)
            temporary.replace(path)
    except OSError as error:
        raise KeyFault(f"{path} cannot be written ({error.strerror}); the key stays as it is") from None
    return path


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner may read, and see it on the disk, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _complete(path, text) as temporary:
        _put(temporary, path)


def _put(temporary: Path, path: Path) -> None:
    """Give the file its name, which nothing may have yet."""
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # some file systems have no hard links
        temporary.rename(path)


@contextmanager
def _complete(path: Path, text: str) -> Iterator[Path]:
    """A file beside `path` with the whole text, to be put into its place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        temporary.unlink()  # left by a process that died
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _give_to_owner(temporary: Path, path: Path) -> None:
    """Keep the file readable for the service when somebody else, such as root, changes it."""
    owner = path.stat()
    if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(temporary, owner.st_uid, owner.st_gid)


def _settings_of(settings: Settings, use: KeyUse) -> tuple[str | None, Path | None]:
    value = getattr(settings, keys.SETTINGS[use])
    file: Path | None = getattr(settings, f"{keys.SETTINGS[use]}_file")
    return value and value.get_secret_value(), file


def _given(settings: Settings, use: KeyUse) -> str | None:
    """The text that holds the keys; None when there is none yet."""
    value, file = _settings_of(settings, use)
    path = file or settings.keys / f"{keys.SETTINGS[use]}.key"
    if value is not None or (file is None and not path.exists()):
        return value
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise KeyFault(f"{name_of(use)}: {path} cannot be read ({error.strerror})") from None


def _decoded(use: KeyUse, text: str) -> list[bytes]:
    secrets = [_decoded_one(use, word) for word in text.split()]
    if not secrets or len(set(secrets)) < len(secrets):
        raise KeyFault(f"{name_of(use)} holds {'a key twice' if secrets else 'no key'}; {_MAKE}")
    return secrets


def _of_one_use(use: KeyUse, secrets: Sequence[bytes], seen: dict[bytes, KeyUse]) -> Sequence[bytes]:
    for secret in secrets:
        if seen.setdefault(secret, use) is not use:
            raise KeyFault(f"{name_of(seen[secret])} and {name_of(use)} hold the same key; each takes a key of its own")
    return secrets


_MAKE = "make one: openssl rand -hex 32"


def _decoded_one(use: KeyUse, word: str) -> bytes:
    try:
        key = bytes.fromhex(word)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyFault(f"{name_of(use)} is not {2 * KEY_BYTES} hexadecimal digits a line; {_MAKE}")
    return key


def _lines(secrets: Sequence[bytes]) -> str:
    return "".join(f"{secret.hex()}\n" for secret in secrets)
