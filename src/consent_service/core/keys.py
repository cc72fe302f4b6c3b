"""Keys and their lives: next, active, retired, revoked; only ever forward, each step an entry of the ledger."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from consent_service.core.keyring import Keyring, mark
from consent_service.core.ledger import KeyChange, KeyState, KeyUse
from consent_service.core.signing import SigningKey, encoded

SIGNING = (KeyUse.RECEIPT, KeyUse.CHECKPOINT)
"""The uses whose keys are Ed25519 pairs; the others are secrets."""

ROTATED = (KeyUse.RECEIPT, KeyUse.CHECKPOINT, KeyUse.SEAL, KeyUse.MASTER)
"""The uses whose next key may take over at any time. The identifier pepper changes offline only, and
the client pepper never: only hashes are kept of client keys, from which no other hash can be made."""

SETTINGS: Mapping[KeyUse, str] = {
    KeyUse.RECEIPT: "receipt_key",
    KeyUse.CHECKPOINT: "checkpoint_key",
    KeyUse.SEAL: "seal_key",
    KeyUse.MASTER: "master_key",
    KeyUse.IDENTIFIER_PEPPER: "identifier_pepper",
    KeyUse.CLIENT_PEPPER: "client_pepper",
}
"""The setting that holds each use's keys, without CONSENT_ and in lower case."""


class KeyFault(Exception):
    """A key that cannot be used, or be changed as was asked; the message says which and how to put it right."""


_ORDER = list(KeyState)
_INTO = {
    KeyState.NEXT: KeyChange.PUBLISHED,
    KeyState.ACTIVE: KeyChange.ACTIVATED,
    KeyState.RETIRED: KeyChange.RETIRED,
    KeyState.REVOKED: KeyChange.REVOKED,
}
STATE_AFTER: Mapping[KeyChange, KeyState] = {change: state for state, change in _INTO.items()}
"""The state that each change leads to."""

Held = Mapping[KeyUse, Sequence[bytes]]
"""The secrets that this process holds, of each use, the oldest first."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key by its id. `public_key` is the raw public half in base64url; None for a secret."""

    use: KeyUse
    kid: str
    public_key: str | None


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key as the ledger knows it; `index` is the entry that brought it into its state."""

    key: Key
    state: KeyState
    index: int


Known = Mapping[str, KnownKey]
"""The ledger's keys by their ids."""


def key_of(use: KeyUse, secret: bytes) -> Key:
    """What may be said of a secret: a thumbprint and the public half of a signing key, a mark of any other."""
    if use in SIGNING:
        pair = SigningKey(secret)
        return Key(use, pair.kid, encoded(pair.public_key))
    return Key(use, mark(secret), None)


def name_of(use: KeyUse) -> str:
    """The setting that holds the keys of this use."""
    return f"CONSENT_{SETTINGS[use].upper()}"


def ids(held: Held) -> set[str]:
    """The ids of the held keys."""
    return {key_of(use, secret).kid for use, secrets in held.items() for secret in secrets}


def missing(held: Held, known: Known) -> list[KeyUse]:
    """The uses whose active key, by the ledger, is not held."""
    mine = ids(held)
    active = {one.key.use for one in known.values() if one.state is KeyState.ACTIVE and one.key.kid not in mine}
    return [use for use in KeyUse if use in active]


def moves(held: Held, known: Known) -> list[tuple[Key, KeyChange]]:
    """The changes that bring the ledger to where the held keys stand; none when it is there."""
    return [move for use in KeyUse for move in _moves_of(use, held[use], known)]


def _moves_of(use: KeyUse, secrets: Sequence[bytes], known: Known) -> Iterable[tuple[Key, KeyChange]]:
    keys = [key for secret in secrets if not _is_revoked(key := key_of(use, secret), known)]
    active = _active(use, known)
    if use not in ROTATED and active is not None:
        return
    place = _place_of_active(keys)
    standing = next((at for at, key in enumerate(keys) if key == active), None)
    if standing is not None and (standing > place or _is_past_use(keys[place], known)):
        place = standing  # another process has the newer keys
    for at, key in enumerate(keys):
        if at < place and (key.kid in known or active is None):
            yield from _steps(key, KeyState.RETIRED, known)
        elif at >= place:
            yield from _steps(key, KeyState.ACTIVE if at == place else KeyState.NEXT, known)


def _steps(key: Key, wanted: KeyState, known: Known) -> Iterable[tuple[Key, KeyChange]]:
    """Each state on the way, so that no key is used before it was published."""
    state = _state(key, known)
    begin = 0 if state is None else _ORDER.index(state) + 1
    for step in _ORDER[begin : _ORDER.index(wanted) + 1]:
        yield key, _INTO[step]


def _place_of_active(keys: Sequence[Key]) -> int:
    """The last is the next one, the one before it is active; a single one is active."""
    return max(0, len(keys) - 2)


def _state(key: Key, known: Known) -> KeyState | None:
    return known[key.kid].state if key.kid in known else None


def _is_past_use(key: Key, known: Known) -> bool:
    return _state(key, known) in (KeyState.RETIRED, KeyState.REVOKED)


def _is_revoked(key: Key, known: Known) -> bool:
    return _state(key, known) is KeyState.REVOKED


def _active(use: KeyUse, known: Known) -> Key | None:
    return next((one.key for one in known.values() if one.key.use is use and one.state is KeyState.ACTIVE), None)


def keyring(held: Held, known: Known) -> Keyring:
    """The held keys put to use: as active whichever is so by the ledger, and by their places while it knows none."""
    chosen = {use: _in_use(use, held[use], known) for use in KeyUse}
    return Keyring(
        masters=chosen[KeyUse.MASTER],
        seals=chosen[KeyUse.SEAL],
        receipt=SigningKey(chosen[KeyUse.RECEIPT][0]),
        checkpoint=SigningKey(chosen[KeyUse.CHECKPOINT][0]),
        identifier_pepper=chosen[KeyUse.IDENTIFIER_PEPPER][0],
        client_pepper=chosen[KeyUse.CLIENT_PEPPER][0],
    )


def _in_use(use: KeyUse, secrets: Sequence[bytes], known: Known) -> tuple[bytes, ...]:
    """The active one first, then the others that are not revoked, the newest first."""
    usable = [secret for secret in secrets if not _is_revoked(key_of(use, secret), known)] or list(secrets)
    active = _active(use, known)
    first = next((one for one in usable if active and key_of(use, one).kid == active.kid), None)
    first = first or usable[_place_of_active([key_of(use, one) for one in usable])]
    return (first, *(one for one in reversed(usable) if one != first))
