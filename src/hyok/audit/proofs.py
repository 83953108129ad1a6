"""Proofs that a record is in the log, and that a log only grew.  Pure.

Source: RFC 6962 sections 2.1.1 and 2.1.2, RFC 9162 sections 2.1.3 and 2.1.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hyok.audit.tree import EMPTY_ROOT, HASH_BYTES, node_hash
from hyok.errors import Malformed, Tampered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hyok.audit.tree import NodeAt

PATH_HASHES_MAX = 64
"""A proof that is longer belongs to no tree that can be counted."""


def subtree(begin: int, end: int, node: NodeAt) -> bytes:
    """Return the hash of leaves ``[begin, end)``, where ``begin`` is a boundary of the tree."""
    count = end - begin
    if count & (count - 1) == 0:
        height = count.bit_length() - 1
        return node(height, begin >> height)
    split = _split(count)
    return node_hash(subtree(begin, begin + split, node), subtree(begin + split, end, node))


def _split(count: int) -> int:
    """Return the largest power of two below ``count``, which is 2 or more."""
    return 1 << ((count - 1).bit_length() - 1)


def root_of(size: int, node: NodeAt) -> bytes:
    """Return the root of the first ``size`` leaves."""
    return subtree(0, size, node) if size else EMPTY_ROOT


def inclusion_path(index: int, size: int, node: NodeAt) -> list[bytes]:
    """Return the hashes from leaf ``index`` up to the root of the first ``size`` leaves.

    Raises:
        Malformed: there is no such leaf in that tree.
    """
    if not 0 <= index < size:
        raise Malformed(f"a tree of {size} records has no leaf {index}")
    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(subtree(middle, end, node))
            end = middle
        else:
            path.append(subtree(begin, middle, node))
            begin = middle
    return path[::-1]


def verify_inclusion(
    hashed_leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes
) -> None:
    """Return quietly if the leaf stands at ``index`` in the tree of ``size`` and ``root``.

    Raises:
        Malformed: no such leaf, or no hash is in the path where one must be.
        Tampered: the path leads elsewhere.
    """
    if not 0 <= index < size:
        raise Malformed(f"a tree of {size} records has no leaf {index}")
    _check_path(path)
    at, last, hashed = index, size - 1, hashed_leaf
    for other in path:
        if not last:
            raise Tampered("the proof is longer than the tree is high")
        if at & 1 or at == last:
            hashed = node_hash(other, hashed)
            at, last = _climb(at, last)
        else:
            hashed = node_hash(hashed, other)
        at, last = at >> 1, last >> 1
    if last or hashed != root:
        raise Tampered("the proof does not lead from this record to this checkpoint")


def consistency_path(old: int, new: int, node: NodeAt) -> list[bytes]:
    """Return what shows that the tree of ``new`` leaves begins with that of ``old``.

    Raises:
        Malformed: ``old`` is 0, or larger than ``new``.
    """
    if not 0 < old <= new:
        raise Malformed(f"no proof leads from {old} records to {new}")
    path: list[bytes] = []
    begin, end, whole = 0, new, True
    while old != end - begin:
        split = _split(end - begin)
        middle = begin + split
        if old <= split:
            path.append(subtree(middle, end, node))
            end = middle
        else:
            path.append(subtree(begin, middle, node))
            begin, old, whole = middle, old - split, False
    if not whole:
        path.append(subtree(begin, end, node))
    return path[::-1]


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Return quietly if the tree of ``new`` leaves begins with that of ``old``.

    Raises:
        Malformed: ``old`` is 0, or larger than ``new``; or a hash of another length.
        Tampered: the path does not show it.
    """
    if not 0 < old <= new:
        raise Malformed(f"no proof leads from {old} records to {new}")
    _check_path(path)
    wrong = Tampered("the proof does not lead from the older checkpoint to the newer one")
    if old == new:
        if path or old_root != new_root:
            raise wrong
        return
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not hashes:
        raise wrong
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = hashes[0]
    for other in hashes[1:]:
        if not last:
            raise wrong
        if at & 1 or at == last:
            first, second = node_hash(other, first), node_hash(other, second)
            at, last = _climb(at, last)
        else:
            second = node_hash(second, other)
        at, last = at >> 1, last >> 1
    if last or first != old_root or second != new_root:
        raise wrong


def _climb(at: int, last: int) -> tuple[int, int]:
    """Go up to where the node is a right child, or at the left edge."""
    while not at & 1 and at:
        at, last = at >> 1, last >> 1
    return at, last


def _check_path(path: Sequence[bytes]) -> None:
    if len(path) > PATH_HASHES_MAX or any(len(each) != HASH_BYTES for each in path):
        raise Malformed(f"a proof is at most {PATH_HASHES_MAX} hashes of {HASH_BYTES} bytes")
