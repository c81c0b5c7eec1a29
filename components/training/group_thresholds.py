"""fairlearn's threshold optimiser, for comparison only: it needs to know the applicant's group to decide.

Deciding two applicants with the same score differently because of race or sex is what the law on fair lending
forbids, so this can never be released; it shows what the fairness of the other alternatives costs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tallystick.components.core.ensembles import Floats
from tallystick.components.core.measures.discrimination import auc
from tallystick.components.core.measures.fairness import Labels
from tallystick.components.training.alternatives import Alternative

NAME = "thresholds per group"
METHOD = "threshold_optimiser"
WHY_NOT = "it needs the protected attribute when it decides, which fair-lending law forbids; logged for comparison"
_REST = "other groups"


def _pass_through() -> Any:
    """Stands in for a fitted estimator: its one column is the probability of a favourable outcome."""
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Scores(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def fit(self, *_: object) -> Scores:
            return self

        def __sklearn_is_fitted__(self) -> bool:
            return True

        def predict_proba(self, column: Floats) -> Floats:
            favourable = np.asarray(column)[:, 0]
            return np.column_stack([1.0 - favourable, favourable])

    return Scores()


def group_thresholds(
    scores: Floats, adverse: npt.NDArray[np.int64], groups: Labels, *, attribute: str, reference: str, minimum: int
) -> Alternative:
    """What thresholds per group would do to the plain model's out-of-fold scores.

    Parameters
    ----------
    scores, adverse, groups
        Shape (rows,).
    minimum
        Groups with fewer rows, or with one outcome only, are put together.

    Returns
    -------
    Alternative
        Never eligible. Its AUC is that of its decisions, which are no longer a score.

    References
    ----------
    Hardt, Price and Srebro (2016), Equality of Opportunity in Supervised Learning; fairlearn.postprocessing.
    """
    from fairlearn.postprocessing import ThresholdOptimizer

    joined = _joined(groups, adverse, minimum)
    favourable = 1.0 - adverse
    figures: tuple[float | None, float | None, str, float | None] = (None, None, "", None)
    why_not = WHY_NOT
    optimiser = ThresholdOptimizer(
        estimator=_pass_through(),
        constraints="demographic_parity",
        objective="balanced_accuracy_score",
        prefit=True,
        predict_method="predict_proba",
    )
    column = (1.0 - scores).reshape(-1, 1)
    try:
        optimiser.fit(column, favourable, sensitive_features=joined)
        approval = np.asarray(optimiser._pmf_predict(column, sensitive_features=joined))[:, 1]
        figures = _figures(approval, adverse, joined, attribute, reference, minimum)
    except ValueError as error:
        why_not = f"{WHY_NOT}; fairlearn could not fit it ({' '.join(str(error).split())})"
    area, ratio, worst, approval_rate = figures
    return Alternative(
        name=NAME,
        method=METHOD,
        description=f"the plain model with one threshold for each group of {attribute}, at equal approval rates",
        recipe=None,
        scores=None,
        auc=area,
        adverse_impact_ratio=ratio,
        worst_group=worst,
        approval_rate=approval_rate,
        keeps_lines=False,
        why_not=why_not,
    )


def _joined(groups: Labels, adverse: npt.NDArray[np.int64], minimum: int) -> Labels:
    result = groups.copy()
    for name in np.unique(groups.astype(str)):
        members = groups == name
        if members.sum() < minimum or len(np.unique(adverse[members])) < 2:
            result[members] = _REST
    return result


def _figures(
    approval: Floats, adverse: npt.NDArray[np.int64], groups: Labels, attribute: str, reference: str, minimum: int
) -> tuple[float | None, float | None, str, float | None]:
    base = groups == reference
    rates = {
        str(name): float(approval[groups == name].mean() / approval[base].mean())
        for name in np.unique(groups.astype(str))
        if name not in (reference, _REST) and base.any() and (groups == name).sum() >= minimum
    }
    worst = min(rates, key=lambda name: rates[name], default="")
    return (
        auc(adverse, 1.0 - approval).figure,
        rates.get(worst),
        f"{attribute}: {worst}" if worst else "",
        float(approval.mean()),
    )
