"""The Merkle tree over the audit records: hashes and tiles.  Pure.

Leaf ``n`` (from 0) is the record with sequence number ``n + 1``: its line without the line feed.
Hashes are kept in tiles of height 8: tile ``(level, index)`` holds up to 256 hashes, each the root
of a full tile one level below; at level 0 they are the hashes of leaves.

Source: RFC 6962 section 2.1, RFC 9162 section 2.1, C2SP tlog-tiles.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING

from hyok.errors import Tampered

if TYPE_CHECKING:
    from collections.abc import Iterator

HASH_BYTES = 32
TILE_HEIGHT = 8
TILE_HASHES = 1 << TILE_HEIGHT
TILE_BYTES = TILE_HASHES * HASH_BYTES
EMPTY_ROOT = sha256(b"").digest()
NodeAt = Callable[[int, int], bytes]
"""Returns the root of the full subtree ``(height, index)``: leaves ``index << height`` and on."""


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf; no inner node can have the same input."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that grows at its right, in memory of a few tiles.

    ``full`` is called with (level, index, bytes) of every tile that was filled.
    """

    def __init__(self, full: Callable[[int, int, bytes], None] = lambda *_: None) -> None:
        self.size = 0
        self._full = full
        self._edge: list[bytearray] = []

    def append(self, hashed_leaf: bytes) -> None:
        """Add the hash of the next leaf."""
        self._add(0, hashed_leaf)
        self.size += 1

    def _add(self, level: int, hashed: bytes) -> None:
        if level == len(self._edge):
            self._edge.append(bytearray())
        tile = self._edge[level]
        tile += hashed
        if len(tile) == TILE_BYTES:
            filled = bytes(tile)
            tile.clear()
            index = self.size >> (TILE_HEIGHT * (level + 1))
            self._full(level, index, filled)
            self._add(level + 1, tile_root(filled))

    def restore(self, size: int, tile: Callable[[int, int, int], bytes]) -> None:
        """Go on from a tree of ``size``; ``tile`` returns the partial tile (level, index, width).

        Raises:
            Tampered: a tile is not as long as it must be.
        """
        edge: list[bytearray] = []
        for level, index, width in partial_tiles(size):
            while len(edge) < level:
                edge.append(bytearray())
            found = tile(level, index, width)
            if len(found) != width * HASH_BYTES:
                raise Tampered(f"tile {tile_path(level, index, width)} is not whole")
            edge.append(bytearray(found))
        self.size, self._edge = size, edge

    def partials(self) -> Iterator[tuple[int, int, bytes]]:
        """Yield (level, index, bytes) of the tiles at the right edge that are not full."""
        for level, index, _ in partial_tiles(self.size):
            yield level, index, bytes(self._edge[level])

    def root(self) -> bytes:
        """Return the root hash of all leaves so far."""
        root = b""
        for tile in self._edge:
            width = len(tile) // HASH_BYTES
            end = width
            while end:
                # The lowest bit set: the smallest full subtree at the right.
                count = end & -end
                subtree = tile_root(tile[(end - count) * HASH_BYTES : end * HASH_BYTES])
                root = node_hash(subtree, root) if root else subtree
                end -= count
        return root or EMPTY_ROOT


def tile_root(hashes: bytes | bytearray) -> bytes:
    """Return the root over a tile, or an aligned part of one: 1, 2, 4 … 256 hashes."""
    row = [bytes(hashes[at : at + HASH_BYTES]) for at in range(0, len(hashes), HASH_BYTES)]
    while len(row) > 1:
        pairs = zip(row[::2], row[1::2], strict=True)
        row = [node_hash(left, right) for left, right in pairs]
    return row[0]


def partial_tiles(size: int) -> Iterator[tuple[int, int, int]]:
    """Yield (level, index, width) of the tiles of a tree that are neither full nor empty."""
    level = 0
    while size:
        width = size % TILE_HASHES
        size //= TILE_HASHES
        if width:
            yield level, size, width
        level += 1


def tile_path(level: int, index: int, width: int = TILE_HASHES) -> str:
    """Return where a tile is kept: ``tile/0/x001/067``, ``….p/3`` when it is partial."""
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03}")
    path = f"tile/{level}/" + "/".join(reversed(groups))
    return path if width == TILE_HASHES else f"{path}.p/{width}"


def node_from_tiles(tile: Callable[[int, int, int], bytes], size: int) -> NodeAt:
    """Return how to find any node of a tree of ``size``; ``tile`` is (level, index, width)."""

    def node(height: int, index: int) -> bytes:
        level, above = divmod(height, TILE_HEIGHT)
        first = index << above  # among the hashes of that level
        at, inside = divmod(first, TILE_HASHES)
        there = (size >> (TILE_HEIGHT * level)) - at * TILE_HASHES
        width = min(TILE_HASHES, there)
        hashes = tile(level, at, width)
        return tile_root(hashes[inside * HASH_BYTES : (inside + (1 << above)) * HASH_BYTES])

    return node
