"""Against RFC 6962 section 2.1, written out again as the RFC has it, and its published vectors."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from consent_service.core import merkle

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
