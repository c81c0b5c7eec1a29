"""The data contract: columns, their meanings and limits, and who may be compared with whom.

Bringing other data means writing this file and the policy, and no code. Everything here is about the
data's meaning; thresholds live in the policy.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tallystick.components.core.documents import Document, parse

Scalar = bool | int | float | str
ColumnType = Literal["integer", "number", "boolean", "category"]
Role = Literal["feature", "sensitive", "excluded", "key"]
Direction = Literal["increasing", "decreasing"]
Name = Annotated[str, Field(min_length=1, max_length=120)]
ModelName = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]


class Reason(Document):
    """A principal reason in plain words, as an applicant would read it (Reg B, 12 CFR 1002.9(b)(2))."""

    code: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{0,7}$")]
    text: Annotated[str, Field(min_length=8, max_length=200)]


class Column(Document):
    """One column of the data.

    Attributes
    ----------
    role
        ``feature`` enters the model; ``sensitive`` is used to test fairness and never enters it;
        ``excluded`` is known and kept out (say why); ``key`` identifies a row.
    missing_codes
        Values that stand for "not known" in this column, e.g. ``999``.
    monotonic
        Direction in which the column may move the probability of the adverse outcome.
    """

    name: Name
    role: Role
    type: ColumnType
    meaning: str = ""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    nullable: bool = False
    missing_codes: tuple[Scalar, ...] = ()
    categories: dict[Scalar, str] = Field(default_factory=dict)
    monotonic: Direction | None = None
    reason: Reason | None = None
    why: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Column:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is above maximum {self.maximum:g}")
        if self.type == "category" and self.role == "feature" and len(self.categories) < 2:
            raise ValueError("a category needs at least two `categories` (value: meaning)")
        kinds = {"text" if isinstance(value, str) else "number" for value in self.categories}
        if len(kinds) > 1:
            raise ValueError("`categories` mix texts and numbers: quote all values or none")
        if any(isinstance(value, bool) for value in self.categories):
            raise ValueError("`categories` hold true or false: use type boolean, or put the values in quotes")
        if self.type != "category" and self.categories:
            raise ValueError(f"`categories` belong to type category, this is {self.type}")
        if self.type in ("category", "boolean") and (self.minimum is not None or self.maximum is not None):
            raise ValueError(f"`minimum` and `maximum` belong to numbers, this is {self.type}")
        if self.type == "category" and self.monotonic:
            raise ValueError("`monotonic` belongs to numbers and booleans, this is category")
        if self.role == "feature" and self.reason is None:
            raise ValueError("a feature needs a `reason` (code, text): declined applicants are owed it")
        if self.role == "excluded" and not self.why:
            raise ValueError("an excluded column needs a `why`")
        if self.missing_codes and not self.nullable:
            raise ValueError("`missing_codes` stand for nulls: set `nullable: true`")
        return self


class Target(Document):
    """The outcome that the model predicts.

    ``adverse`` is the value that is bad for the applicant (denied, defaulted): the score is its probability.
    """

    column: Name
    adverse: Scalar
    favourable: Scalar
    meaning: Annotated[str, Field(min_length=3)]

    @model_validator(mode="after")
    def _two_values(self) -> Target:
        if self.adverse == self.favourable:
            raise ValueError("`adverse` and `favourable` are the same value")
        return self


class SensitiveAttribute(Document):
    """How rows are put into groups for fairness tests; one of three forms.

    ``column`` with ``groups`` (value: group), ``column`` with ``bands`` (rising edges of a number), or
    ``indicators`` (column: group; exactly one of them is 1 in each row).
    """

    column: Name | None = None
    groups: dict[Scalar, str] = Field(default_factory=dict)
    bands: tuple[float, ...] = ()
    indicators: dict[str, str] = Field(default_factory=dict)
    reference: Name
    meaning: str = ""

    @model_validator(mode="after")
    def _one_form(self) -> SensitiveAttribute:
        forms = [bool(self.groups), bool(self.bands), bool(self.indicators)]
        if sum(forms) != 1 or bool(self.column) == bool(self.indicators):
            raise ValueError("give `column` with `groups` or `bands`, or `indicators` alone")
        if list(self.bands) != sorted(set(self.bands)):
            raise ValueError("`bands` must rise")
        if self.reference not in self.group_names:
            raise ValueError(f"reference {self.reference!r} is none of the groups: {', '.join(self.group_names)}")
        return self

    @property
    def group_names(self) -> tuple[str, ...]:
        """All groups in the order of the file, each once."""
        if self.bands:
            edges = [f"{edge:g}" for edge in self.bands]
            inner = [f"{low} to under {high}" for low, high in itertools.pairwise(edges)]
            return (f"under {edges[0]}", *inner, f"{edges[-1]} and over")
        return tuple(dict.fromkeys((self.groups or self.indicators).values()))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it reads."""
        return (self.column,) if self.column else tuple(self.indicators)


class Contract(Document):
    """A whole ``contract.yaml``.

    Attributes
    ----------
    unique
        Columns that together name a row: no two rows may agree in all of them.
    other_columns
        What to do with columns of the data that are neither in ``columns`` nor the target.
    """

    version: Literal[1]
    name: ModelName
    description: str = ""
    source: str = ""
    target: Target
    columns: Annotated[tuple[Column, ...], Field(min_length=2)]
    sensitive: dict[Name, SensitiveAttribute] = Field(default_factory=dict)
    unique: tuple[Name, ...] = ()
    other_columns: Literal["refuse", "ignore"] = "refuse"

    @model_validator(mode="after")
    def _consistent(self) -> Contract:
        counts = Counter(column.name for column in self.columns)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise ValueError(f"columns named twice: {', '.join(twice)}")
        if self.target.column in counts:
            raise ValueError(f"the target {self.target.column!r} may not be among `columns`: it has its own entry")
        if not self.features:
            raise ValueError("no column has the role feature")
        roles = {column.name: column.role for column in self.columns}
        for name, attribute in self.sensitive.items():
            for column in attribute.columns:
                if roles.get(column) != "sensitive":
                    found = roles.get(column, "not a column")
                    raise ValueError(f"sensitive.{name}: column {column!r} must have the role sensitive, is {found}")
                if attribute.bands and self.column(column).type not in ("integer", "number"):
                    raise ValueError(
                        f"sensitive.{name}: `bands` cut a number, {column!r} is {self.column(column).type}"
                    )
        if unknown := [name for name in self.unique if name not in roles]:
            raise ValueError(f"unique: no such column: {', '.join(unknown)}")
        texts: dict[str, str] = {}
        for feature in self.features:
            assert feature.reason  # noqa: S101 - Column holds it for every feature
            if texts.setdefault(feature.reason.code, feature.reason.text) != feature.reason.text:
                raise ValueError(f"columns[{feature.name}].reason: {feature.reason.code} has two different texts")
        return self

    @property
    def features(self) -> tuple[Column, ...]:
        """Columns that enter the model, in the order of the file."""
        return tuple(column for column in self.columns if column.role == "feature")

    def column(self, name: str) -> Column:
        """One column by its name; KeyError where there is none."""
        return next(column for column in self.columns if column.name == name)


def parse_contract(text: str, name: str = "contract.yaml") -> Contract:
    """Read a contract; see :func:`tallystick.components.core.documents.parse` for what it raises."""
    return parse(text, Contract, name)
