"""The one error tree, and the exit codes that scripts may rely on.

    TallystickError        exit 1   it broke: our fault or the machine's
    |-- InputError         exit 2   a file, field, row or option that the user can mend
    |-- StorageError       exit 1   an object store or disk that could not be read or written
    |   '-- MissingObjectError   there is no object of that name, and the store said so
    |-- EvidenceRefusedError exit 3   what should prove something does not prove it
    '-- StepError          exit 1   a step of a run ended without a verdict

"The gate said no" is no error: it is a verdict, and has its own exit code.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process says when it ends; documented in the README."""

    DONE = 0
    BROKE = 1
    BAD_INPUT = 2
    GATE_REFUSED = 3
    ROLLED_BACK = 4
    INTERRUPTED = 130


class TallystickError(Exception):
    """Something broke. The message is a whole sentence for the person who must act."""

    exit_code: ExitCode = ExitCode.BROKE


class InputError(TallystickError):
    """The user gave something that cannot be used, and can mend it.

    Parameters
    ----------
    where
        The file, and inside it the field or row: ``contract.yaml: columns.3.minimum``.
    found
        What is there now.
    allowed
        What may be there.
    todo
        The next thing to do, where ``allowed`` does not say it already.
    """

    exit_code = ExitCode.BAD_INPUT

    def __init__(self, where: str, found: str, allowed: str = "", todo: str = "") -> None:
        self.where, self.found, self.allowed, self.todo = where, found, allowed, todo
        parts = [f"{where}: {found}"]
        if allowed:
            parts.append(f"allowed: {allowed}")
        if todo:
            parts.append(todo)
        super().__init__("; ".join(parts))


class StorageError(TallystickError):
    """A store could not be read or written (not there, no right, no room, no answer)."""


class MissingObjectError(StorageError):
    """The store answered, and has no object of that name."""


class EvidenceRefusedError(TallystickError):
    """Evidence does not prove what was asked for; the message names each reason."""

    exit_code = ExitCode.GATE_REFUSED


class StepError(TallystickError):
    """A step ended without a verdict; its log says why."""
