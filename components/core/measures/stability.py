"""How far a distribution moved: the population stability index over bins that were frozen beforehand.

The index of two samples of one population is not zero: it is noise of a known size, given beside it, so that a
small sample is neither praised nor blamed for chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_HALF = 0.5


@dataclass(frozen=True, kw_only=True)
class Stability:
    """An index with what chance alone would give.

    Attributes
    ----------
    index
        0 for the same shares in every bin, above 0 otherwise; None where a sample is empty.
    noise
        95th percentile of the index for two samples of these sizes from one population.
    """

    index: float | None
    noise: float | None
    bins: int
    reference_rows: int
    rows: int


def population_stability(reference: npt.ArrayLike, actual: npt.ArrayLike) -> Stability:
    """Population (or characteristic) stability index.

    ``PSI = sum over bins of (a - e) ln(a / e)`` with the shares `a` of the actual and `e` of the reference sample.
    Half a row is added to every bin, so that an empty bin gives a large but finite share of the index. Bins that
    are empty in both samples are left out.

    Parameters
    ----------
    reference, actual
        Rows per bin, shape (bins,), the same bins in the same order.

    Raises
    ------
    ValueError
        Shapes differ, or a count is negative.

    References
    ----------
    N. Siddiqi, Credit Risk Scorecards (2006), ch. 9.
    B. Yurdakul and J. Naranjo, Statistical properties of the population stability index, Journal of Risk Model
    Validation 14(4), 2020: under no shift PSI is about ``chi2(bins - 1) (1/N + 1/M)``.
    """
    expected, found = np.asarray(reference, dtype=np.float64), np.asarray(actual, dtype=np.float64)
    if expected.shape != found.shape or expected.ndim != 1:
        raise ValueError(f"counts of shapes {expected.shape} and {found.shape} are not of the same bins")
    if (expected < 0).any() or (found < 0).any():
        raise ValueError("a count is negative")
    used = (expected + found) > 0
    rows, reference_rows, bins = int(found.sum()), int(expected.sum()), int(used.sum())
    if not rows or not reference_rows:
        return Stability(index=None, noise=None, bins=bins, reference_rows=reference_rows, rows=rows)
    e = (expected[used] + _HALF) / (reference_rows + _HALF * bins)
    a = (found[used] + _HALF) / (rows + _HALF * bins)
    return Stability(
        index=float(((a - e) * np.log(a / e)).sum()),
        noise=_noise(bins, reference_rows, rows),
        bins=bins,
        reference_rows=reference_rows,
        rows=rows,
    )


def _noise(bins: int, reference_rows: int, rows: int) -> float:
    from scipy.special import gammaincinv

    if bins < 2:
        return 0.0
    chi2 = 2.0 * float(gammaincinv((bins - 1) / 2.0, 0.95))
    return chi2 * (1.0 / reference_rows + 1.0 / rows)
