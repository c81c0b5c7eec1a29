"""The exit codes that scripts rely on, and how an input error reads."""

import pytest

from tallystick.components.core.errors import ExitCode, InputError, StepError, StorageError, TallystickError


def test_exit_codes_never_change() -> None:
    assert {code.name: int(code) for code in ExitCode} == {
        "DONE": 0, "BROKE": 1, "BAD_INPUT": 2, "GATE_REFUSED": 3, "ROLLED_BACK": 4, "INTERRUPTED": 130,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TallystickError("x"), ExitCode.BROKE),
        (StorageError("x"), ExitCode.BROKE),
        (StepError("x"), ExitCode.BROKE),
        (InputError("a.csv", "is empty"), ExitCode.BAD_INPUT),
    ],
)
def test_each_error_has_its_exit_code(error: TallystickError, code: ExitCode) -> None:
    assert error.exit_code is code


def test_input_error_says_where_what_allowed_and_what_to_do() -> None:
    assert str(InputError("a.csv: row 3", "found 'x'", "a number", "mend it")) == (
        "a.csv: row 3: found 'x'; allowed: a number; mend it"
    )
    assert str(InputError("a.csv", "is empty")) == "a.csv: is empty"
