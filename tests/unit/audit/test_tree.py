"""Trees, proofs and tiles are those of RFC 6962 and C2SP tlog-tiles, at every size."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyok.audit.proofs import (
    consistency_path,
    inclusion_path,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from hyok.audit.tree import (
    EMPTY_ROOT,
    HASH_BYTES,
    TILE_HASHES,
    Tree,
    leaf_hash,
    node_from_tiles,
    node_hash,
    partial_tiles,
    tile_path,
)
from hyok.errors import HyokError, Malformed, Tampered

# The tree of Certificate Transparency's own tests (google/certificate-transparency,
# merkletree/merkle_tree_test.cc), and the roots of its first 1 to 8 leaves.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
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
# Of the same tests: (leaf, size, path) and (old, new, path).
PATHS = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
]
GROWTHS = [
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


def naive_root(hashes: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written."""
    if not hashes:
        return EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return node_hash(naive_root(hashes[:split]), naive_root(hashes[split:]))


def node_of(hashes: list[bytes]):
    return lambda height, index: naive_root(hashes[index << height : (index + 1) << height])


MANY = [leaf_hash(str(number).encode()) for number in range(TILE_HASHES * TILE_HASHES + 3)]


def leaves(count: int) -> list[bytes]:
    return MANY[:count]


def grown(hashes: list[bytes]) -> tuple[Tree, dict[str, bytes]]:
    tiles: dict[str, bytes] = {}
    tree = Tree(lambda level, index, raw: tiles.__setitem__(tile_path(level, index), raw))
    for each in hashes:
        tree.append(each)
    for level, index, raw in tree.partials():
        tiles[tile_path(level, index, len(raw) // HASH_BYTES)] = raw
    return tree, tiles


@pytest.mark.parametrize("count", range(9))
def test_the_roots_are_those_of_the_public_vectors(count: int) -> None:
    tree, _ = grown([leaf_hash(leaf) for leaf in LEAVES[:count]])
    assert tree.root() == (bytes.fromhex(ROOTS[count - 1]) if count else EMPTY_ROOT)
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(("leaf", "size", "path"), PATHS)
def test_inclusion_paths_are_those_of_the_public_vectors(
    leaf: int, size: int, path: list[str]
) -> None:
    hashes = [leaf_hash(each) for each in LEAVES]
    made = inclusion_path(leaf, size, node_of(hashes))
    assert [each.hex() for each in made] == path
    verify_inclusion(hashes[leaf], leaf, size, made, bytes.fromhex(ROOTS[size - 1]))


@pytest.mark.parametrize(("old", "new", "path"), GROWTHS)
def test_consistency_paths_are_those_of_the_public_vectors(
    old: int, new: int, path: list[str]
) -> None:
    made = consistency_path(old, new, node_of([leaf_hash(each) for each in LEAVES]))
    assert [each.hex() for each in made] == path
    verify_consistency(old, new, bytes.fromhex(ROOTS[old - 1]), bytes.fromhex(ROOTS[new - 1]), made)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), size=st.integers(1, 700))
def test_every_leaf_of_every_tree_is_proven_from_its_tiles(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = leaves(size)
    tree, tiles = grown(hashes)
    assert tree.root() == naive_root(hashes)
    node = node_from_tiles(lambda *which: tiles[tile_path(*which)], size)
    assert root_of(size, node) == tree.root()
    path = inclusion_path(index, size, node)
    verify_inclusion(hashes[index], index, size, path, tree.root())
    other = data.draw(st.integers(0, size - 1).filter(lambda at: at != index or size == 1))
    if size > 1:
        with pytest.raises(Tampered):
            verify_inclusion(hashes[index], other, size, path, tree.root())
        with pytest.raises(Tampered):
            verify_inclusion(hashes[other], index, size, path, tree.root())
        bent = data.draw(st.integers(0, len(path) - 1))
        path[bent] = leaf_hash(path[bent])
        with pytest.raises(Tampered):
            verify_inclusion(hashes[index], index, size, path, tree.root())


@settings(max_examples=40, deadline=None)
@given(data=st.data(), new=st.integers(1, 700))
def test_any_two_sizes_are_shown_to_be_one_log_and_a_fork_is_not(
    data: st.DataObject, new: int
) -> None:
    old = data.draw(st.integers(1, new))
    hashes = leaves(new)
    tree, tiles = grown(hashes)
    node = node_from_tiles(lambda *which: tiles[tile_path(*which)], new)
    path = consistency_path(old, new, node)
    old_root = naive_root(hashes[:old])
    verify_consistency(old, new, old_root, tree.root(), path)
    forked = list(hashes[:old])
    forked[data.draw(st.integers(0, old - 1))] = leaf_hash(b"other")
    with pytest.raises(Tampered):
        verify_consistency(old, new, naive_root(forked), tree.root(), path)
    with pytest.raises(Tampered):
        verify_consistency(old, new, old_root, leaf_hash(b"other"), path)


@settings(max_examples=40, deadline=None)
@given(path=st.lists(st.binary(min_size=32, max_size=32), max_size=12), numbers=st.data())
def test_no_made_up_path_proves_anything(path: list[bytes], numbers: st.DataObject) -> None:
    old, new = sorted(numbers.draw(st.tuples(st.integers(1, 600), st.integers(1, 600))))
    hashes = leaves(new)
    with pytest.raises(HyokError):
        verify_inclusion(leaf_hash(b"none of them"), old - 1, new, path, naive_root(hashes))
    with pytest.raises(HyokError):
        verify_consistency(old, new, leaf_hash(b"none"), naive_root(hashes), path)


@settings(max_examples=40, deadline=None)
@given(first=st.integers(0, 70_000), more=st.integers(0, 600))
def test_a_tree_goes_on_from_its_partial_tiles(first: int, more: int) -> None:
    first %= 1_500
    hashes = leaves(first + more)
    _, tiles = grown(hashes[:first])
    tree = Tree()
    tree.restore(first, lambda *which: tiles[tile_path(*which)])
    for each in hashes[first:]:
        tree.append(each)
    assert tree.root() == naive_root(hashes)


def test_a_tree_of_two_levels_of_tiles_has_the_right_root() -> None:
    hashes = leaves(TILE_HASHES * TILE_HASHES + 3)
    tree, tiles = grown(hashes)
    assert tree.root() == naive_root(hashes)
    # tlog-tiles: a full tile of level 1 gives level 2 its first hash.
    assert {path for path in tiles if not path.startswith(("tile/0/", "tile/1/"))} == {
        "tile/2/000.p/1"
    }


def test_the_example_of_tlog_tiles_comes_out() -> None:
    assert list(partial_tiles(70_000)) == [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    assert tile_path(0, 1_234_067) == "tile/0/x001/x234/067"
    assert tile_path(3, 5, 7) == "tile/3/005.p/7"


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_a_leaf_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(Malformed):
        inclusion_path(index, size, node_of(leaves(4)))
    with pytest.raises(Malformed):
        verify_inclusion(leaf_hash(b""), index, size, [], EMPTY_ROOT)


@pytest.mark.parametrize(("old", "new"), [(0, 3), (4, 3)])
def test_no_proof_leads_from_nothing_or_backwards(old: int, new: int) -> None:
    with pytest.raises(Malformed):
        consistency_path(old, new, node_of(leaves(4)))
    with pytest.raises(Malformed):
        verify_consistency(old, new, EMPTY_ROOT, EMPTY_ROOT, [])


def test_a_hash_of_another_length_is_refused() -> None:
    with pytest.raises(Malformed):
        verify_inclusion(leaf_hash(b""), 0, 2, [b"short"], EMPTY_ROOT)


def test_a_torn_tile_is_not_gone_on_from() -> None:
    with pytest.raises(Tampered):
        Tree().restore(3, lambda *_: b"\0" * 64)
