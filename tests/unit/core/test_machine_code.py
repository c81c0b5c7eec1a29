"""The loader of compiled loops: the same results as the loops interpreted, and refusals for what it does not know."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path

import numpy as np
import pytest

from tallystick.components.core import machine_code, tree_arithmetic, tree_kernel
from tallystick.components.core.contributions import Explainer
from tests.unit.core.test_contributions import PathDependent, random_ensemble

SYMBOL = "tallystick_path_dependent"
on_linux_x86 = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the small loader knows x86-64 Linux only"
)


@pytest.fixture(scope="module")
def object_file() -> bytes:
    stored = tree_kernel._stored("path_dependent")
    return stored or tree_kernel._compiled("path_dependent")


@on_linux_x86
def test_the_stored_object_is_loaded_without_llvm(object_file: bytes) -> None:
    code = machine_code.load(object_file, SYMBOL)
    assert code is not None
    assert code.address


@on_linux_x86
def test_code_in_memory_cannot_be_written(object_file: bytes) -> None:
    code = machine_code.load(object_file, SYMBOL)
    assert code is not None
    with Path("/proc/self/maps").open() as maps:
        ranges = [line.split() for line in maps]
    held = [r for r in ranges if int(r[0].split("-")[0], 16) <= code.address < int(r[0].split("-")[1], 16)]
    assert [entry[1][:3] for entry in held] == ["r-x"]


@on_linux_x86
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:40],
        lambda content: b"MZ" + content[2:],
        lambda content: content[:18] + b"\xb7\x00" + content[20:],  # another processor
        lambda content: content.replace(SYMBOL.encode(), b"another_path_dependent_fn"),
        lambda content: content + bytes(1 << 20),
    ],
)
def test_an_object_of_another_kind_is_left_to_llvm(object_file: bytes, damage: object) -> None:
    assert machine_code.load(damage(object_file), SYMBOL) is None  # type: ignore[operator]


def test_llvms_own_loader_gives_the_same_bits(object_file: bytes) -> None:
    engine = tree_kernel._llvm_engine(object_file)
    prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 4, *[ctypes.c_void_p] * 18)
    model = random_ensemble(11, trees=6, depth=6, columns=6)
    matrix = np.random.default_rng(2).normal(size=(10, 6))
    ours, theirs = Explainer(model, PathDependent()), Explainer(model, PathDependent())  # type: ignore[arg-type]
    theirs._explain.kernel = prototype(engine.get_function_address(SYMBOL))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(ours.explain(matrix)[0], theirs.explain(matrix)[0])


def test_compiled_loops_give_what_the_interpreted_ones_give() -> None:
    model = random_ensemble(12, trees=5, depth=5, columns=4)
    matrix = np.random.default_rng(3).normal(size=(4, 4))
    explainer = Explainer(model, PathDependent())  # type: ignore[arg-type]
    trees = explainer._explain.trees  # type: ignore[attr-defined]
    count, largest = len(trees.points), trees.largest
    found, margin = np.zeros(16), np.full(4, model.base)
    tree_arithmetic.path_dependent(
        *(4, 4, len(trees.starts) - 1, count),
        matrix.reshape(-1),
        *(trees.starts, trees.parent, trees.ancestor, trees.feature, trees.goes_left),
        *(trees.threshold, trees.share, trees.value, trees.points, trees.weights),
        *(np.empty(largest * count) for _ in range(3)),
        *(np.empty(largest) for _ in range(2)),
        found,
        margin,
    )
    expected, expected_margin = explainer.explain(matrix)
    np.testing.assert_allclose(found.reshape(4, 4), expected, atol=1e-14)
    np.testing.assert_allclose(margin, expected_margin, atol=1e-14)


def test_without_numba_the_message_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(tree_kernel.TallystickError, match="is numba installed"):
        tree_kernel._compiled("path_dependent")
