"""Receipts: the statement at an index, and the proof that the ledger holds it."""

from dataclasses import dataclass

from consent_service.core import ledger, merkle
from consent_service.core.clients import Client
from consent_service.core.errors import LedgerDamaged, ReceiptNotFound, SubjectErased, SubjectNotFound
from consent_service.core.people import Pseudonym
from consent_service.core.receipt import Receipt
from consent_service.operations import ledger as ledger_operations
from consent_service.operations import people, policies
from consent_service.store import checkpoints
from consent_service.store import ledger as ledger_store
from consent_service.store.checkpoints import Signed
from consent_service.store.db import ReadTx
from consent_service.store.ledger import Entry
from consent_service.store.policies import Published


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that the client may see, the policy version that was shown, and a checkpoint if one covers it."""

    entry: Entry
    body: ledger.StatementMade
    shown: Published
    covered_by: Signed | None

    @property
    def needs(self) -> int:
        """How many entries a checkpoint has to cover to cover this one."""
        return self.entry.index + 1


async def statement(tx: ReadTx, client: Client, index: int) -> Statement:
    """The statement at an index.

    Raises ReceiptNotFound, also for one about a purpose or a person that the client may not see; SubjectErased.
    """
    entry = await _entry(tx, index)
    if entry is None or not isinstance(entry.body, ledger.StatementMade) or not await _sees(tx, client, entry.body):
        raise ReceiptNotFound("No statement that you may see has this index; POST /v1/consents tells its receipts.")
    if entry.erased:
        raise SubjectErased("The person was erased; receipts that were given out before still verify.")
    shown, newest = await policies.published(tx, entry.body.policy_version), await checkpoints.newest(tx)
    return Statement(entry, entry.body, shown, newest if newest and newest.size > index else None)


async def receipt(tx: ReadTx, _: Client, said: Statement, checkpoint: Signed) -> Receipt:
    """The receipt of a statement, proved against a checkpoint that covers it.

    Raises LedgerDamaged when the entry is not what was proved: that is never signed.
    """
    entry, shown = said.entry, said.shown
    proof = await ledger_operations.inclusion(tx, None, index=entry.index, size=checkpoint.size)
    if merkle.leaf_hash(entry.body_bytes) != proof.leaf_hash:
        raise LedgerDamaged("The statement is not what was recorded; consent-service verify names the place.")
    return Receipt(
        entry.index,
        entry.body_bytes,
        proof.leaf_hash,
        said.body,
        shown.policy,
        shown.index,
        proof.size,
        proof.path,
        checkpoint.note,
        tx.now,
    )


async def _entry(tx: ReadTx, index: int) -> Entry | None:
    if not 0 <= index < await ledger_store.size(tx):
        return None
    return next(iter(await ledger_store.entries_at(tx, [index])), None)


async def _sees(tx: ReadTx, client: Client, said: ledger.StatementMade) -> bool:
    """Whether the client may see the purpose and the person.

    Who may see every namespace sees everybody. Of the erased nobody knows any more in which they were, and of a row
    that is not to be trusted neither: only those learn that there was somebody.
    """
    if not client.may_ask_for(said.purpose):
        return False
    if not client.namespaces:
        return True
    try:
        await people.seen(tx, client, Pseudonym(said.subject))
    except SubjectNotFound:
        return False
    return True
