"""Receipts: the signed statement that is given to the subject, with the proof that the ledger holds it.

NOTE: receipts lie with people for as long as they like. Claims may be added, never renamed, removed or given another
meaning, and a receipt never expires. tests/core/test_receipt.py holds golden bytes.
"""

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime

import rfc8785
from joserfc import jws
from joserfc.jwk import OKPKey

from consent_service.core.consent import Action
from consent_service.core.ledger import JsonObject, StatementMade
from consent_service.core.policy import Policy, Purpose, Text
from consent_service.core.signing import SigningKey, encoded

ALGORITHM = "Ed25519"
"""RFC 9864: the algorithm says which curve it is on."""

TYPE = "consent-receipt+jwt"

_HOW_TO_WITHDRAW = Text(
    "A yes can be taken back at any time: write to {contact} ({controller}, {division}) and name this receipt's "
    "number, {index}. It ends as soon as that is recorded.",
    "同意はいつでも撤回できます。この受領書の番号（{index}）を添えて、{contact}"
    "（{controller} {division}）までご連絡ください。撤回は記録された時点で効力を生じます。",
)
_HOW_TO_CHANGE = Text(
    "A no stands until it is lifted. To say yes after all, write to {contact} ({controller}, {division}) and name this "
    "receipt's number, {index}.",
    "同意しない旨の意思表示は、取り消されるまで有効です。改めて同意される場合は、この受領書の番号"
    "（{index}）を添えて、{contact}（{controller} {division}）までご連絡ください。",
)


@dataclass(frozen=True, slots=True)
class Term:
    """One leaf of the statement: the wording that was shown, and whether the statement changed what stands for it."""

    purpose: Purpose
    applied: bool

    @property
    def code(self) -> str:
        """The leaf's code."""
        return self.purpose.code

    @property
    def wording(self) -> Text:
        """The wording that was shown."""
        return self.purpose.wording.text


@dataclass(frozen=True, slots=True)
class Receipt:
    """A statement as it stands in the ledger, the policy version that was shown, and the proof of both.

    `entry` are the bytes that were hashed, `said` is what they say; `policy_index` is the entry in which the policy was
    published. `hashes` lead from the leaf to the root of the tree of `size` entries that `checkpoint`, a signed note,
    vouches for.
    """

    index: int
    entry: bytes
    leaf_hash: bytes
    said: StatementMade
    policy: Policy
    policy_index: int
    size: int
    hashes: tuple[bytes, ...]
    checkpoint: str
    issued_at: datetime

    @property
    def origin(self) -> str:
        """The ledger's name: the checkpoint's first line."""
        return self.checkpoint.partition("\n")[0]

    @property
    def id(self) -> str:
        """A UUID (version 8, RFC 9562 section 5.8) of the entry, the same whenever and however it is asked for."""
        name = f"{self.origin}\n{self.index}\n{self.leaf_hash.hex()}\n"
        return str(_uuid(hashlib.sha256(name.encode()).digest()))

    @property
    def purpose(self) -> Purpose:
        """What was named: a leaf or a branch."""
        return self._find(self.said.purpose)

    @property
    def terms(self) -> tuple[Term, ...]:
        """The leaves that the statement names, in the policy's own order."""
        leaves = [leaf for leaf in self.policy.leaves if leaf.code in self.said.leaves]
        return tuple(Term(leaf, leaf.code in self.said.applied) for leaf in leaves)

    @property
    def withdrawal(self) -> Text:
        """How a yes is taken back, or a no is lifted."""
        text = _HOW_TO_WITHDRAW if self.said.action is Action.GRANT else _HOW_TO_CHANGE
        return Text(self._filled(text.en), self._filled(text.ja))

    def _filled(self, text: str) -> str:
        controller = self.policy.controller
        return text.format(
            contact=self.policy.contact,
            controller=controller.name,
            division=controller.division,
            index=self.index,
        )

    def _find(self, code: str) -> Purpose:
        purpose = self.policy.find(code)
        if purpose is None:
            raise LookupError("a statement names only purposes of the version that was shown")
        return purpose


def claims(receipt: Receipt) -> JsonObject:
    """The claims of the JWS. Whoever has them and the public keys needs nothing else to check the receipt."""
    policy = receipt.policy
    return {
        "iss": receipt.origin,
        "sub": receipt.said.subject,
        "iat": int(receipt.issued_at.timestamp()),
        "jti": receipt.id,
        "index": receipt.index,
        "leaf_hash": receipt.leaf_hash.hex(),
        "entry": receipt.entry.decode(),
        "wording": both(receipt.purpose.wording.text),
        "leaves": [
            {"purpose": term.code, "wording": term.purpose.wording.number, **both(term.wording)}
            for term in receipt.terms
        ],
        "policy": {
            "policy": policy.code,
            "version": policy.version,
            "index": receipt.policy_index,
            "title": both(policy.title),
            "controller": policy.controller.name,
            "school": policy.controller.school,
            "division": policy.controller.division,
            "contact": policy.contact,
            "law": both(policy.law),
        },
        "withdrawal": both(receipt.withdrawal),
        "inclusion_proof": {
            "index": receipt.index,
            "size": receipt.size,
            "leaf_hash": receipt.leaf_hash.hex(),
            "hashes": [one.hex() for one in receipt.hashes],
        },
        "checkpoint": receipt.checkpoint,
    }


def signed(receipt: Receipt, key: SigningKey) -> str:
    """The receipt as a JWS in compact serialization (RFC 7515 section 7.1)."""
    header = {"alg": ALGORITHM, "kid": key.kid, "typ": TYPE}
    return jws.serialize_compact(header, rfc8785.dumps(claims(receipt)), _jwk(key), algorithms=[ALGORITHM])


def both(text: Text) -> JsonObject:
    """A text in its two languages."""
    return {"en": text.en, "ja": text.ja}


def _jwk(key: SigningKey) -> OKPKey:
    return OKPKey.import_key(
        {"kty": "OKP", "crv": ALGORITHM, "x": encoded(key.public_key), "d": encoded(key.seed)},
    )


def _uuid(digest: bytes) -> uuid.UUID:
    """The digest's first 16 bytes with version and variant put in, as RFC 9562 appendix B.2 does."""
    number = bytearray(digest[:16])
    number[6] = number[6] & 0x0F | 0x80
    number[8] = number[8] & 0x3F | 0x80
    return uuid.UUID(bytes=bytes(number))
