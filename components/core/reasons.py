"""Which contributions an applicant is told: added up by reason, in a fixed order, from the contract alone.

The model server and the explainability step share this, so that the reasons in a model card's examples are
the ones a caller would get.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tallystick.components.core.ensembles import Floats
from tallystick.components.core.errors import InputError
from tallystick.components.core.model_package import Interface

_DIGITS = 9


@dataclass(frozen=True, kw_only=True, slots=True)
class PrincipalReason:
    """One reason; `contribution` is in margin space, positive where it made the adverse outcome likelier."""

    code: str
    text: str
    contribution: float


class ReasonGroups:
    """Adds encoded columns up by the contract's reason codes.

    Raises
    ------
    InputError
        A feature's reason has no words, so that it could not be told.
    """

    def __init__(self, interface: Interface) -> None:
        columns = [feature.reason_code for feature in interface.features for _ in feature.encoded_names]
        if silent := sorted(set(columns) - set(interface.reasons)):
            raise InputError("interface.json: reasons", f"no words for {silent[0]}", ", ".join(interface.reasons))
        self.codes: tuple[str, ...] = tuple(sorted(set(columns)))
        self._texts = interface.reasons
        self._group: npt.NDArray[np.intp] = np.array([self.codes.index(code) for code in columns], dtype=np.intp)
        self._maximum = interface.maximum_reasons

    def sums(self, contributions: Floats) -> Floats:
        """Contributions of one row added up by reason, shape (codes,), in the order of `codes`."""
        return np.bincount(self._group, weights=contributions, minlength=len(self.codes)).astype(np.float64)

    def principal(self, contributions: Floats) -> tuple[PrincipalReason, ...]:
        """The strongest reasons of one row towards the adverse outcome, at most the policy's maximum.

        Only reasons that raised the margin are told. When none did, and the row was declined all the same
        (the starting point itself lies above the threshold), the one that lowered it least is told, so that
        a declined applicant is never left without a reason. Contributions are compared to nine decimal
        places and ties go to the code that comes first, so that rounding cannot change the order.

        References
        ----------
        12 CFR 1002.9(b)(2) and its comment 9(b)(2)-1: specific principal reasons; more than four is not
        likely to be helpful.
        """
        sums: Sequence[float] = self.sums(contributions).tolist()
        ranked = sorted((-round(value, _DIGITS), code, value) for value, code in zip(sums, self.codes, strict=True))
        told = [entry for entry in ranked[: self._maximum] if entry[0] < 0] or ranked[:1]
        return tuple(PrincipalReason(code=code, text=self._texts[code], contribution=value) for _, code, value in told)
