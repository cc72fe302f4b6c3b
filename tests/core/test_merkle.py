"""Against RFC 6962 section 2.1, written out again as the RFC has it, and its published vectors."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent_service.core import merkle
from consent_service.core.merkle import Place, Range

# The reference vectors of the certificate-transparency projects for the tree of RFC 6962.
INPUTS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


# PATH(m, D[n]) of the same tree, as those projects publish it: leaf counted from 1, size, hashes.
PATHS = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (3, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        2,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]

# PROOF(m, D[n]), likewise.
PROOFS = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]


def as_the_rfc_says(entries: list[bytes]) -> bytes:
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    return hashlib.sha256(b"\x01" + as_the_rfc_says(entries[:k]) + as_the_rfc_says(entries[k:])).digest()


def test_the_published_roots() -> None:
    for size, expected in enumerate(ROOTS, start=1):
        frontier = merkle.grown((), 0, map(merkle.leaf_hash, INPUTS[:size]))[0]
        assert merkle.root(frontier).hex() == expected


@given(st.lists(st.binary(max_size=8), max_size=70), st.integers(0, 70))
def test_the_frontier_gives_the_rfcs_root_however_the_entries_came(entries: list[bytes], cut: int) -> None:
    cut = min(cut, len(entries))
    first = merkle.grown((), 0, map(merkle.leaf_hash, entries[:cut]))[0]
    frontier = merkle.grown(first, cut, map(merkle.leaf_hash, entries[cut:]))[0]
    assert merkle.root(frontier) == as_the_rfc_says(entries)
    assert len(frontier) == len(entries).bit_count()


MOST = 512
LEAVES = [hashlib.sha256(b"\x00" + b"%d" % number).digest() for number in range(MOST)]


@cache
def mth(start: int, end: int) -> bytes:
    """MTH(D[start:end]), RFC 6962 section 2.1."""
    if end - start == 1:
        return LEAVES[start]
    k = largest_power_of_two_below(end - start)
    return hashlib.sha256(b"\x01" + mth(start, start + k) + mth(start + k, end)).digest()


@cache
def largest_power_of_two_below(n: int) -> int:
    return max(1 << bit for bit in range(10) if 1 << bit < n)


def path_of(m: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[start:end]), RFC 6962 section 2.1.1."""
    if end - start == 1:
        return []
    k = largest_power_of_two_below(end - start)
    if m < k:
        return [*path_of(m, start, start + k), mth(start + k, end)]
    return [*path_of(m - k, start + k, end), mth(start, start + k)]


def subproof_of(m: int, start: int, end: int, *, known: bool) -> list[bytes]:
    """SUBPROOF(m, D[start:end], known), RFC 6962 section 2.1.2."""
    if m == end - start:
        return [] if known else [mth(start, end)]
    k = largest_power_of_two_below(end - start)
    if m <= k:
        return [*subproof_of(m, start, start + k, known=known), mth(start + k, end)]
    return [*subproof_of(m - k, start + k, end, known=False), mth(start, start + k)]


@cache
def all_stored() -> dict[Place, bytes]:
    nodes = merkle.grown((), 0, LEAVES)[1]
    leaves = {(0, index): leaf for index, leaf in enumerate(LEAVES)}
    return leaves | {(level, position): node for level, position, node in nodes}


@cache
def hash_of(leaves: Range) -> bytes:
    stored = {place: all_stored()[place] for place in merkle.stored_places([leaves])}
    return merkle.range_hash(leaves, stored)


def inclusion(index: int, size: int) -> list[bytes]:
    return [hash_of(one) for one in merkle.inclusion_ranges(index, size)]


def consistency(first: int, second: int) -> list[bytes]:
    return [hash_of(one) for one in merkle.consistency_ranges(first, second)]


@pytest.mark.parametrize(("leaf", "size", "path"), PATHS)
def test_the_published_inclusion_proofs(leaf: int, size: int, path: list[str]) -> None:
    hashes = {(0, index): merkle.leaf_hash(entry) for index, entry in enumerate(INPUTS)}
    made = [merkle.range_hash(one, hashes) for one in merkle.inclusion_ranges(leaf - 1, size)]
    assert [one.hex() for one in made] == path
    root = bytes.fromhex(ROOTS[size - 1])
    assert merkle.verify_inclusion(hashes[0, leaf - 1], leaf - 1, size, made, root)


@pytest.mark.parametrize(("first", "second", "path"), PROOFS)
def test_the_published_consistency_proofs(first: int, second: int, path: list[str]) -> None:
    hashes = {(0, index): merkle.leaf_hash(entry) for index, entry in enumerate(INPUTS)}
    made = [merkle.range_hash(one, hashes) for one in merkle.consistency_ranges(first, second)]
    assert [one.hex() for one in made] == path
    old, new = (bytes.fromhex(ROOTS[size - 1]) for size in (first, second))
    assert merkle.verify_consistency(first, second, made, old, new)


def test_the_root_of_every_size_is_the_rfcs() -> None:
    assert [hash_of((0, size)) for size in range(1, MOST + 1)] == [mth(0, size) for size in range(1, MOST + 1)]
    assert merkle.range_hash((0, 0), {}) == hashlib.sha256(b"").digest()


def test_every_inclusion_proof_of_every_size_is_the_rfcs_and_verifies() -> None:
    for size in range(1, MOST + 1):
        for index in range(size):
            path = inclusion(index, size)
            assert path == path_of(index, 0, size)
            assert merkle.verify_inclusion(LEAVES[index], index, size, path, mth(0, size))


def test_every_consistency_proof_of_every_size_is_the_rfcs_and_verifies() -> None:
    for second in range(1, MOST + 1):
        for first in range(1, second + 1):
            path = consistency(first, second)
            assert path == subproof_of(first, 0, second, known=True)
            assert merkle.verify_consistency(first, second, path, mth(0, first), mth(0, second))


def flipped(one: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(one))
    return one[:at] + bytes([one[at] ^ 1 << dice.randrange(8)]) + one[at + 1 :]


def mutations(path: Sequence[bytes], dice: random.Random) -> Iterator[list[bytes]]:
    """The path with a bit flipped, a hash too many or cut short, one missing, or two in the wrong order."""
    at, foreign = dice.randrange(len(path) + 1), dice.randbytes(32)
    yield [*path[:at], foreign, *path[at:]]
    yield [*path[:at], b"", *path[at:]]
    if not path:
        return
    at = dice.randrange(len(path))
    yield [*path[:at], flipped(path[at], dice), *path[at + 1 :]]
    yield [*path[:at], path[at][:-1], *path[at + 1 :]]
    yield [*path[:at], *path[at + 1 :]]
    yield [*path[:at], path[at], *path[at:]]
    if len(path) > 1:
        yield [*path[1:], path[0]]


def test_no_mutated_proof_verifies() -> None:
    dice, tried = random.Random(6962), 0
    while tried < 100_000:
        size = dice.randint(2, MOST)
        for first in (dice.randint(1, size - 1), 1 << dice.randrange((size - 1).bit_length())):
            tried += refused_consistency(first, size, dice)
        tried += refused_inclusion(dice.randrange(size), size, dice)


def refused_inclusion(index: int, size: int, dice: random.Random) -> int:
    """Mutates everything but the size: that one belongs to the root, and a checkpoint signs the two together."""
    leaf, path, root = LEAVES[index], inclusion(index, size), mth(0, size)
    wrong = [
        (flipped(leaf, dice), index, path, root),
        (leaf, index, path, flipped(root, dice)),
        (leaf, (index + 1) % size, path, root),
        (leaf, index ^ 1 << dice.randrange(9), path, root),
        (leaf, -1, path, root),
        (leaf, size, path, root),
        *((leaf, index, mutated, root) for mutated in mutations(path, dice)),
    ]
    assert not any(merkle.verify_inclusion(leaf, at, size, path, root) for leaf, at, path, root in wrong)
    return len(wrong)


def refused_consistency(first: int, second: int, dice: random.Random) -> int:
    path, old, new = consistency(first, second), mth(0, first), mth(0, second)
    wrong = [
        (first, flipped(old, dice), new, path),
        (first, old, flipped(new, dice), path),
        (first, new, old, path),
        (0, old, new, path),
        (second, old, new, path),
        (second + 1, old, new, path),
        *((first, old, new, mutated) for mutated in mutations(path, dice)),
    ]
    assert not any(merkle.verify_consistency(at, second, path, old, new) for at, old, new, path in wrong)
    return len(wrong)


@given(st.integers(1, 3 * 16**3), st.data())
def test_a_proof_takes_few_stored_hashes_of_each_level(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(1, size))
    for ranges in (merkle.inclusion_ranges(index, size), merkle.consistency_ranges(first, size)):
        levels = [level for level, _ in merkle.stored_places([*ranges])]
        assert max(map(levels.count, levels), default=0) <= 2 * 16
        assert all(level % 4 == 0 for level in levels)


@given(st.lists(st.integers(0, 40), max_size=20))
def test_growing_leaves_each_full_subtree_of_a_stored_level_once_however_the_entries_came(batches: list[int]) -> None:
    frontier: tuple[bytes, ...] = ()
    nodes: list[merkle.Node] = []
    size = 0
    for batch in batches:
        batch = min(batch, MOST - size)
        frontier, more = merkle.grown(frontier, size, LEAVES[size : size + batch])
        nodes, size = nodes + more, size + batch
    places = [(level, at) for level in (4, 8) for at in range(size >> level)]
    assert sorted(nodes) == [(level, at, mth(at << level, at + 1 << level)) for level, at in places]
