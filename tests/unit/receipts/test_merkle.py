"""Tree hashes and proofs against Certificate Transparency's published vectors and the RFC's own recursion."""

import hashlib

import pytest

from tallystick.components.core.receipts.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    consistent,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_from_inclusion,
    root_from_window,
    root_of,
    tree_root,
    window_proof,
)

INPUTS = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
ENTRIES = [bytes.fromhex(digits) for digits in INPUTS]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEAVES = [leaf_hash(b"entry %d" % i) for i in range(70)]


def rfc_root(leaves):
    """MTH of RFC 6962, 2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + rfc_root(leaves[:k]) + rfc_root(leaves[k:])).digest()


def subtree(level, index):
    if level == 0:
        return LEAVES[index]
    return node_hash(subtree(level - 1, 2 * index), subtree(level - 1, 2 * index + 1))


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_that_certificate_transparency_publishes(size):
    assert root_of([leaf_hash(e) for e in ENTRIES[:size]]).hex() == ROOTS[size - 1]


def test_the_empty_tree_has_the_hash_of_nothing():
    assert root_of([]) == tree_root(0, subtree) == EMPTY_ROOT == rfc_root([])


@pytest.mark.parametrize("size", [*range(1, 20), 31, 32, 33, 63, 64, 65, 70])
def test_both_ways_to_the_root_agree_with_the_rfc(size):
    assert root_of(LEAVES[:size]) == tree_root(size, subtree) == rfc_root(LEAVES[:size])


def test_every_inclusion_proof_of_every_size_leads_to_the_root_and_to_no_other_place():
    for size in range(1, 40):
        root = rfc_root(LEAVES[:size])
        for index in range(size):
            proof = inclusion_proof(index, size, subtree)
            assert root_from_inclusion(index, size, LEAVES[index], proof) == root
            assert root_from_inclusion(index, size, LEAVES[index + 1], proof) != root
            assert root_from_inclusion((index + 1) % size, size, LEAVES[index], proof) != root or size == 1
            assert root_from_inclusion(index, size, LEAVES[index], [*proof, LEAVES[0]]) != root
            if proof:
                assert root_from_inclusion(index, size, LEAVES[index], proof[:-1]) != root


def test_a_proof_for_a_place_outside_of_the_tree_is_none():
    assert root_from_inclusion(3, 3, LEAVES[0], []) is None
    assert root_from_inclusion(-1, 3, LEAVES[0], []) is None
    with pytest.raises(ValueError, match="not in a tree of 3"):
        inclusion_proof(3, 3, subtree)


def test_every_consistency_proof_holds_and_one_altered_hash_breaks_it():
    for new in range(1, 36):
        for old in range(0, new + 1):
            proof = consistency_proof(old, new, subtree)
            old_root, new_root = rfc_root(LEAVES[:old]), rfc_root(LEAVES[:new])
            assert consistent(old, new, old_root, new_root, proof)
            assert not consistent(old, new, LEAVES[69], new_root, proof)
            assert not consistent(old, new, old_root, LEAVES[69], proof) or old == 0
            for place in range(len(proof)):
                broken = [*proof[:place], LEAVES[69], *proof[place + 1 :]]
                assert not consistent(old, new, old_root, new_root, broken)
            assert not consistent(old, new, old_root, new_root, [*proof, LEAVES[0]])


def test_a_log_does_not_shrink():
    assert not consistent(5, 4, rfc_root(LEAVES[:5]), rfc_root(LEAVES[:4]), [])
    with pytest.raises(ValueError, match="does not extend"):
        consistency_proof(5, 4, subtree)


def test_all_entries_from_a_place_on_give_the_root_only_when_none_is_left_out_or_moved():
    for size in (1, 2, 7, 8, 21, 64, 70):
        root = rfc_root(LEAVES[:size])
        for start in range(size):
            proof = window_proof(start, size, subtree)
            leaves = LEAVES[start:size]
            assert root_from_window(start, size, leaves, proof) == root
            assert root_from_window(start, size, leaves[1:], proof) is None
            if len(leaves) > 1:
                assert root_from_window(start, size, [leaves[1], leaves[0], *leaves[2:]], proof) != root
            if proof:
                assert root_from_window(start, size, leaves, [LEAVES[69], *proof[1:]]) != root or size == 70
