"""The Merkle tree of RFC 6962: growing it, proving from it, verifying what was proved.

A tree is kept as its frontier, the roots of its full subtrees from left to right, and as the roots of all full subtrees
at every fourth level, so that any proof is made of few stored hashes.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce

Place = tuple[int, int]
"""A full subtree: its level (it has 2^level leaves), and its position on that level, from 0."""

Range = tuple[int, int]
"""The leaves from the first index up to, and without, the second."""

Node = tuple[int, int, bytes]
"""A full subtree's place and its root."""

HASH_BYTES = 32
STEP = 4
"""Nodes are stored at each so-many-th level, from this one on; below it are the leaves."""


def leaf_hash(body: bytes) -> bytes:
    """SHA-256(0x00 || body): the hash of one entry (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right): the hash of an inner node (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def grown(frontier: Sequence[bytes], size: int, leaf_hashes: Iterable[bytes]) -> tuple[tuple[bytes, ...], list[Node]]:
    """Append leaves to a tree of `size` leaves: the new frontier, and the nodes to be stored that became full.

    A frontier has one 32-byte hash for each set bit of the size.
    """
    roots = list(frontier)
    nodes: list[Node] = []
    for leaf in leaf_hashes:
        node, bits, level = leaf, size, 0
        while bits & 1:
            node, bits, level = node_hash(roots.pop(), node), bits >> 1, level + 1
            if level % STEP == 0:
                nodes.append((level, bits, node))
        roots.append(node)
        size += 1
    return tuple(roots), nodes


def root(frontier: Sequence[bytes]) -> bytes:
    """The tree's root hash; that of the empty tree is SHA-256 of nothing (RFC 6962 section 2.1)."""
    if not frontier:
        return hashlib.sha256().digest()
    return reduce(lambda right, left: node_hash(left, right), reversed(frontier))


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The ranges of leaves whose hashes prove that a leaf is in the tree of this size (RFC 6962 section 2.1.1)."""
    start, end = 0, size
    ranges: list[Range] = []
    while end - start > 1:
        middle = _middle(start, end)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ranges[::-1]


def consistency_ranges(first: int, second: int) -> list[Range]:
    """The ranges of leaves whose hashes prove that one tree extends a smaller one (RFC 6962 section 2.1.2)."""
    start, end = 0, second
    ranges: list[Range] = []
    while end != first:
        middle = _middle(start, end)
        if first <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((start, middle))
            start = middle
    return ([(start, end)] if start else []) + ranges[::-1]


def stored_places(ranges: Iterable[Range]) -> set[Place]:
    """The stored hashes from which `range_hash` gives the hashes of these ranges; those of level 0 are the leaves'."""
    return {stored for one in ranges for place in _subtrees(one) for stored in _stored(place)}


def range_hash(leaves: Range, stored: Mapping[Place, bytes]) -> bytes:
    """The Merkle tree hash of a range that a proof, or a tree from 0 on, is made of.

    Raises KeyError when a hash that it takes is not among the stored.
    """
    return root([_folded([stored[place] for place in _stored(subtree)]) for subtree in _subtrees(leaves)])


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root_hash: bytes) -> bool:
    """Whether a path proves a leaf at this index of the tree of this size and root (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size or not _are_hashes(leaf, root_hash, *path):
        return False
    at, last, node = index, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            node = node_hash(step, node)
            at, last = _up_to_a_right_child(at, last)
        else:
            node = node_hash(node, step)
        at, last = at >> 1, last >> 1
    return last == 0 and node == root_hash


def verify_consistency(first: int, second: int, path: Sequence[bytes], first_root: bytes, second_root: bytes) -> bool:
    """Whether a path proves that the second tree extends the first, of one leaf or more (RFC 9162 section 2.1.4.2)."""
    if not 1 <= first <= second or not _are_hashes(first_root, second_root, *path):
        return False
    if first == second:
        return not path and first_root == second_root
    steps = [first_root, *path] if first & (first - 1) == 0 else list(path)
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    if not steps:
        return False
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(step, old), node_hash(step, new)
            at, last = _up_to_a_right_child(at, last)
        else:
            new = node_hash(new, step)
        at, last = at >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _up_to_a_right_child(at: int, last: int) -> tuple[int, int]:
    while not at & 1 and at:
        at, last = at >> 1, last >> 1
    return at, last


def _are_hashes(*hashes: bytes) -> bool:
    return all(len(one) == HASH_BYTES for one in hashes)


def _middle(start: int, end: int) -> int:
    """Where RFC 6962 splits a range of two leaves or more: behind the largest power of two smaller than its length."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _subtrees(leaves: Range) -> list[Place]:
    """The full subtrees of which a range is made, from left to right, each larger than the next."""
    start, end = leaves
    places = []
    while start < end:
        level = (end - start).bit_length() - 1
        places.append((level, start >> level))
        start += 1 << level
    return places


def _stored(place: Place) -> list[Place]:
    """The stored subtrees of which a full one is made: itself, or those on the next stored level below."""
    level, position = place
    below = level % STEP
    return [(level - below, (position << below) + i) for i in range(1 << below)]


def _folded(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]
