"""The Merkle tree hash of RFC 6962 section 2.1, as a compact range: the roots of the full subtrees, left to right."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import reduce


def leaf_hash(body: bytes) -> bytes:
    """SHA-256(0x00 || body): the hash of one entry (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right): the hash of an inner node (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def extended(frontier: Sequence[bytes], size: int, leaf_hashes: Iterable[bytes]) -> tuple[bytes, ...]:
    """Append leaves to a tree of `size` leaves; `frontier` has one 32-byte hash for each set bit of `size`."""
    roots = list(frontier)
    for leaf in leaf_hashes:
        node, bits = leaf, size
        while bits & 1:
            node, bits = node_hash(roots.pop(), node), bits >> 1
        roots.append(node)
        size += 1
    return tuple(roots)


def root(frontier: Sequence[bytes]) -> bytes:
    """The tree's root hash; that of the empty tree is SHA-256 of nothing (RFC 6962 section 2.1)."""
    if not frontier:
        return hashlib.sha256().digest()
    return reduce(lambda right, left: node_hash(left, right), reversed(frontier))
