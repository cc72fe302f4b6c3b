"""First answers, kept so that a retry gets the same one (draft-ietf-httpapi-idempotency-key-header)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, select, text, tuple_

from consent_service.core.errors import IdempotencyKeyReused
from consent_service.core.keyring import NONCE_BYTES
from consent_service.store.db import ReadTx, WriteTx
from consent_service.store.tables import Instant, idempotency

KEPT_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that carries an Idempotency-Key: per client and operation, with the keyed fingerprints of its body."""

    client: str
    operation: str
    key: str
    fingerprints: tuple[str, ...]

    @property
    def name(self) -> tuple[str, str, str]:
        """What makes two requests the same attempt."""
        return self.client, self.operation, self.key


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """What the first attempt was answered."""

    fingerprint: str
    answer: bytes

    def for_retry(self, attempt: Attempt) -> bytes:
        """The answer again. Raises IdempotencyKeyReused when the retry has another body."""
        if self.fingerprint not in attempt.fingerprints:
            raise IdempotencyKeyReused(
                "This Idempotency-Key was used for another body. Send the first body again, or use a new key."
            )
        return self.answer


async def first_answers(tx: ReadTx, attempts: Sequence[Attempt]) -> dict[tuple[str, str, str], FirstAnswer]:
    """The first answers of those attempts that were made before. Ask under the head's lock."""
    if not attempts:
        return {}
    name = tuple_(idempotency.c.client, idempotency.c.operation, idempotency.c.key)
    query = select(idempotency).where(
        name.in_([attempt.name for attempt in attempts]), idempotency.c.at > tx.clock - KEPT_FOR
    )
    return {
        (row.client, row.operation, row.key): FirstAnswer(
            row.fingerprint,
            tx.keyring.decrypt(row.answer, _context(row.client, row.operation, row.key)),
        )
        for row in await tx.rows(query)
    }


_REMEMBER = text(
    "INSERT INTO idempotency (client, operation, key, at, fingerprint, answer) "
    "VALUES (:client, :operation, :key, :at, :fingerprint, :answer) "
    "ON CONFLICT (client, operation, key) DO UPDATE "
    "SET at = excluded.at, fingerprint = excluded.fingerprint, answer = excluded.answer"
).bindparams(bindparam("at", type_=Instant))


async def remember(tx: WriteTx, answers: Sequence[tuple[Attempt, bytes]]) -> None:
    """Keep first answers, sealed: the answer to a client's creation holds its key."""
    rows = [
        {
            "client": attempt.client,
            "operation": attempt.operation,
            "key": attempt.key,
            "at": tx.clock,
            "fingerprint": attempt.fingerprints[0],
            "answer": tx.keyring.encrypt(answer, tx.entropy(NONCE_BYTES), _context(*attempt.name)),
        }
        for attempt, answer in answers
    ]
    await tx.execute(_REMEMBER, rows)


async def any_before(tx: ReadTx, at: datetime) -> bool:
    """Whether an answer that counts still was kept up to an instant."""
    query = select(idempotency.c.at).where(idempotency.c.at <= at, idempotency.c.at > tx.clock - KEPT_FOR)
    return await tx.first(query.limit(1)) is not None


async def forget(tx: WriteTx) -> int:
    """Delete the answers that are past their keeping; answers how many."""
    return await tx.execute(delete(idempotency).where(idempotency.c.at <= tx.clock - KEPT_FOR))


def _context(client: str, operation: str, key: str) -> str:
    return f"{client} {operation} {key}"
