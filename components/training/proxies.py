"""Whether the features that a model sees would give the protected group away.

A model that never sees race can still learn it from what stands beside it. This measures how well the
features predict membership outside the reference group; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tallystick.components.core.candidates import ProxyTest
from tallystick.components.core.encoding import Matrix
from tallystick.components.core.frames import UNKNOWN_GROUP
from tallystick.components.core.measures.discrimination import auc

Integers = npt.NDArray[np.int64]
_MINIMUM_MEMBERS = 10


def proxy_tests(
    matrix: Matrix,
    groups: Mapping[str, npt.NDArray[np.object_]],
    fold: Integers,
    references: Mapping[str, str],
) -> tuple[ProxyTest, ...]:
    """Out-of-fold AUC of a logistic regression that predicts each attribute from the encoded features.

    Parameters
    ----------
    matrix
        Encoded features, shape (rows, columns).
    references
        Reference group by attribute; every other known group counts as outside it.

    Returns
    -------
    tuple of ProxyTest
        0.5 says nothing about the group, 1.0 names it; None where either side has fewer than ten rows.
    """
    return tuple(_test(name, matrix, groups[name], fold, reference) for name, reference in references.items())


def _test(name: str, matrix: Matrix, group: npt.NDArray[np.object_], fold: Integers, reference: str) -> ProxyTest:
    from sklearn.linear_model import LogisticRegression

    known = group != UNKNOWN_GROUP
    outside = (group != reference).astype(np.int64)
    scores = np.zeros(len(group))
    for number in np.unique(fold):
        held, used = fold == number, (fold != number) & known
        if min(outside[used].sum(), (1 - outside[used]).sum()) < _MINIMUM_MEMBERS:
            return ProxyTest(attribute=name, auc=None, low=None, high=None, rows=int(known.sum()))
        means, deviations = matrix[used].mean(axis=0), matrix[used].std(axis=0)
        deviations = np.where(deviations > 0.0, deviations, 1.0)
        model = LogisticRegression(C=0.1, solver="newton-cholesky", max_iter=1000)
        model.fit((matrix[used] - means) / deviations, outside[used])
        scores[held] = model.decision_function((matrix[held] - means) / deviations)
    area = auc(outside[known], scores[known])
    return ProxyTest(
        attribute=name, auc=area.figure, low=area.interval[0], high=area.interval[1], rows=int(known.sum())
    )
