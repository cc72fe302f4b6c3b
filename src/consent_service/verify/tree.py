"""The Merkle tree of RFC 6962, derived again from the leaves' hashes, a block of 4,096 at a time."""

import hashlib
from collections.abc import Sequence

BLOCK_LEVEL = 12
BLOCK = 1 << BLOCK_LEVEL
STORED_LEVELS = 4
"""Every fourth level of the tree lies in the database."""

_sha256 = hashlib.sha256


def leaf_hash(body: bytes) -> bytes:
    """SHA-256(0x00 || body)."""
    return _sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return _sha256(b"\x01" + left + right).digest()


def root_of(frontier: Sequence[bytes]) -> bytes:
    """The root above full subtrees, which stand from left to right."""
    if not frontier:
        return _sha256().digest()
    *others, node = frontier
    for left in reversed(others):
        node = node_hash(left, node)
    return node


class Tree:
    """Takes blocks of leaves; only the last may be smaller. Holds a block and the path above it, so memory is flat."""

    def __init__(self) -> None:
        self.size = 0
        self.begin = 0
        self._before: list[tuple[int, bytes]] = []  # (level, hash) of the full subtrees before the block
        self._after: list[tuple[int, bytes]] = []  # the same, with the block where it is full
        self._levels: list[list[bytes]] = [[]]

    def add(self, leaves: list[bytes]) -> list[tuple[int, int, bytes]]:
        """Add a block; answers the stored nodes that it completes, as (level, position, hash) in order."""
        self.begin, self.size, self._before = self.size, self.size + len(leaves), self._after
        self._levels = _levels(leaves)
        made = [node for level in range(STORED_LEVELS, BLOCK_LEVEL + 1, STORED_LEVELS) for node in self._nodes(level)]
        if len(leaves) == BLOCK:
            self._after, above = _extended(self._before, self._levels[BLOCK_LEVEL][0], self.begin >> BLOCK_LEVEL)
            made += above
        return made

    def frontier(self) -> list[bytes]:
        """The roots of the full subtrees, left to right: one for each set bit of the size."""
        return self._frontier_at(self.size)

    def root_at(self, size: int) -> bytes:
        """The root when the tree had this size, which lies within the newest block, or at its beginning."""
        return root_of(self._frontier_at(size))

    def _frontier_at(self, size: int) -> list[bytes]:
        if size == self.size and size - self.begin == BLOCK:
            return [node for _, node in self._after]
        nodes, place = [node for _, node in self._before], 0
        for level in reversed(range(BLOCK_LEVEL)):
            if (size - self.begin) >> level & 1:
                nodes.append(self._levels[level][place >> level])
                place += 1 << level
        return nodes

    def _nodes(self, level: int) -> list[tuple[int, int, bytes]]:
        nodes = self._levels[level] if level < len(self._levels) else []
        return [(level, (self.begin >> level) + i, node) for i, node in enumerate(nodes)]


def _levels(leaves: list[bytes]) -> list[list[bytes]]:
    """The full subtrees of a block, level by level; a node without a right neighbour waits on its level."""
    levels = [leaves]
    while len(levels[-1]) > 1:
        pairs = zip(levels[-1][::2], levels[-1][1::2], strict=False)
        levels.append([_sha256(b"\x01" + left + right).digest() for left, right in pairs])
    return levels


def _extended(
    before: Sequence[tuple[int, bytes]], node: bytes, position: int
) -> tuple[list[tuple[int, bytes]], list[tuple[int, int, bytes]]]:
    """The full subtrees with one more block, and the stored nodes above blocks that this completes."""
    after, level, made = list(before), BLOCK_LEVEL, []
    while after and after[-1][0] == level:
        node, level = node_hash(after.pop()[1], node), level + 1
        if level % STORED_LEVELS == 0:
            made.append((level, position >> (level - BLOCK_LEVEL), node))
    return [*after, (level, node)], made


def root_from_inclusion(index: int, size: int, leaf: bytes, hashes: Sequence[bytes]) -> bytes | None:
    """The root that an inclusion proof leads to (RFC 9162 section 2.1.3.2); None when it cannot be one."""
    if not 0 <= index < size:
        return None
    place, last, node = index, size - 1, leaf
    for other in hashes:
        if last == 0:
            return None
        if place & 1 or place == last:
            node = node_hash(other, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, other)
        place, last = place >> 1, last >> 1
    return node if last == 0 else None
