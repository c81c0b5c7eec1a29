"""Compiles the loops of `tree_arithmetic.py`."""

from __future__ import annotations

import functools
from typing import Any

from tallystick.components.core import tree_arithmetic


@functools.cache
def _compiled() -> Any:
    import numba

    return numba.njit(tree_arithmetic.path_dependent, cache=False, nogil=True)


def path_dependent(*arrays: Any) -> None:
    """:func:`tree_arithmetic.path_dependent`, compiled."""
    _compiled()(*arrays)
