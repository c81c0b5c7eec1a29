"""Merkle tree hashes and proofs. Pure: hashes in, hashes out; where they are kept is tiles.py's affair.

`subtree(level, index)` gives the hash of the full subtree of 2**level leaves that starts at leaf index * 2**level.

References
----------
RFC 6962, section 2.1: tree hash, audit path, consistency proof. RFC 9162, sections 2.1.3.2 and 2.1.4.2: how the
proofs are verified.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

Subtree = Callable[[int, int], bytes]
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256 of 0x00 and the entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of 0x01 and both children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Root over leaf hashes; that of no leaf at all is the hash of nothing."""
    if not hashes:
        return EMPTY_ROOT
    row = list(hashes)
    while len(row) > 1:
        # A lone last node moves up unchanged: the same tree as the RFC's split at the largest power of two.
        row = [node_hash(row[i], row[i + 1]) if i + 1 < len(row) else row[i] for i in range(0, len(row), 2)]
    return row[0]


def tree_root(size: int, subtree: Subtree) -> bytes:
    """Root of a tree of `size` leaves."""
    return _range_hash(0, size, subtree) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """Audit path of leaf `index`, from the leaf to the root (RFC 6962, 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    return _path(index, 0, size, subtree)


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes | None:
    """Root that the audit path leads to; None where the path cannot be one of this leaf (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return None
    position, last, root = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return None
        if position & 1 or position == last:
            root = node_hash(sibling, root)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            root = node_hash(root, sibling)
        position, last = position >> 1, last >> 1
    return root if last == 0 else None


def consistency_proof(old: int, new: int, subtree: Subtree) -> list[bytes]:
    """Proof that the tree of `new` leaves begins with that of `old` (RFC 6962, 2.1.2); empty for old 0 or new."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} does not extend one of {old}")
    return [] if old in (0, new) else _subproof(old, 0, new, True, subtree)


def consistent(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the proof shows that the newer tree only added to the older one (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not path:
        return False
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            first, second = node_hash(node, first), node_hash(node, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = node_hash(second, node)
        position, last = position >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


def window_proof(start: int, size: int, subtree: Subtree) -> list[bytes]:
    """Hashes of the full subtrees left of `start`: with all leaves from there on they give the root."""
    if not 0 <= start <= size:
        raise ValueError(f"leaf {start} is not in a tree of {size}")
    return [subtree(level, index) for level, index in _left_of(start)]


def root_from_window(start: int, size: int, leaves: Sequence[bytes], proof: Sequence[bytes]) -> bytes | None:
    """Root of a tree whose leaves from `start` on are all given; None where the numbers do not fit.

    The leaves from `start` to the end together with the subtrees left of it are the whole tree: a root that
    matches shows that nothing between was left out, added or moved.
    """
    known = list(_left_of(start))
    if len(leaves) != size - start or len(proof) != len(known):
        return None
    given = dict(zip(known, proof, strict=True))

    def subtree(level: int, index: int) -> bytes:
        if (level, index) in given:
            return given[level, index]
        if level == 0:
            return leaves[index - start]
        return node_hash(subtree(level - 1, 2 * index), subtree(level - 1, 2 * index + 1))

    return tree_root(size, subtree)


def _left_of(start: int) -> Iterator[tuple[int, int]]:
    """The full subtrees that cover leaves 0 to start - 1, largest first."""
    done = 0
    for level in range(start.bit_length() - 1, -1, -1):
        if start >> level & 1:
            yield level, done >> level
            done += 1 << level


def _split(size: int) -> int:
    """Largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _range_hash(start: int, end: int, subtree: Subtree) -> bytes:
    size = end - start
    level = size.bit_length() - 1
    if size == 1 << level:
        return subtree(level, start >> level)
    middle = start + _split(size)
    return node_hash(_range_hash(start, middle, subtree), _range_hash(middle, end, subtree))


def _path(index: int, start: int, end: int, subtree: Subtree) -> list[bytes]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(index, start, middle, subtree), _range_hash(middle, end, subtree)]
    return [*_path(index, middle, end, subtree), _range_hash(start, middle, subtree)]


def _subproof(old_end: int, start: int, end: int, whole: bool, subtree: Subtree) -> list[bytes]:
    if old_end == end:
        return [] if whole else [_range_hash(start, end, subtree)]
    middle = start + _split(end - start)
    if old_end <= middle:
        return [*_subproof(old_end, start, middle, whole, subtree), _range_hash(middle, end, subtree)]
    return [*_subproof(old_end, middle, end, False, subtree), _range_hash(start, middle, subtree)]
