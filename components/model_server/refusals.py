"""What a request is refused with: a status, an outcome for the counters and a message for the caller.

Messages name the field and what is allowed and never repeat a value: they are also what may be logged.
"""

from __future__ import annotations

from typing import Literal

Outcome = Literal["ok", "invalid", "too_large", "timeout", "error"]
ErrorKind = Literal[
    "invalid_json",
    "invalid_request",
    "invalid_input",
    "too_large",
    "timeout",
    "additivity",
    "internal",
    "prediction_log",
]


class RefusedRequestError(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    status
        HTTP status.
    kind
        One of the kinds that are counted.
    message
        For the caller: names the field; holds no applicant's value.
    feature, out_of_range
        The model's input that was wrong, and whether because its value lies outside the contract's range.
    """

    def __init__(
        self, status: int, kind: ErrorKind, message: str, *, feature: str = "", out_of_range: bool = False
    ) -> None:
        super().__init__(message)
        self.status, self.kind, self.feature, self.out_of_range = status, kind, feature, out_of_range

    @property
    def outcome(self) -> Outcome:
        """How the request is counted."""
        if self.kind in ("too_large", "timeout"):
            return "too_large" if self.kind == "too_large" else "timeout"
        return "error" if self.status >= 500 else "invalid"
