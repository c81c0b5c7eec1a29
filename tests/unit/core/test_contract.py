"""The contract's own rules: each is tried from both sides."""

import pytest

from tallystick.components.core.contract import Contract, SensitiveAttribute, parse_contract
from tallystick.components.core.errors import InputError
from tests.support import lending

GOOD = lending.CONTRACT


def changed(before: str, after: str) -> str:
    assert GOOD.count(before) >= 1, before
    return GOOD.replace(before, after, 1)


def message(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_contract(text, "my/contract.yaml")
    said = str(caught.value)
    assert said.startswith("my/contract.yaml: ")
    return said


def test_good_contract_is_read() -> None:
    contract = parse_contract(GOOD)
    assert [feature.name for feature in contract.features] == [
        "income_eur", "purpose", "late_payments", "has_guarantor",
    ]  # fmt: skip
    assert contract.column("age").maximum == 110
    with pytest.raises(StopIteration):
        contract.column("nobody")


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("minimum: 18", "minium: 18", "columns[age].minium: unknown key; did you mean 'minimum'?"),
        ("minimum: 18", "minimum: 111", "columns[age]: minimum 111 is above maximum 110"),
        ("type: boolean", "type: bool", "found 'bool'; allowed: 'integer', 'number', 'boolean' or 'category'"),
        ("type: boolean", "type: boolean\n    minimum: 0", "`minimum` and `maximum` belong to numbers"),
        ("type: boolean", "type: boolean\n    categories: {0: no, 1: ja}", "`categories` belong to type category"),
        ("categories: {car: a car, home: home improvement, other: anything else}", "categories: {car: a car}",
         "columns[purpose]: a category needs at least two `categories`"),
        ("{car: a car, home", "{1: a car, home", "columns[purpose]: `categories` mix texts and numbers"),
        ("{car: a car, home: home improvement, other: anything else}", "{true: a car, false: none}",
         "columns[purpose]: `categories` hold true or false"),
        ("    type: category\n", "    type: category\n    monotonic: increasing\n", "`monotonic` belongs to numbers"),
        ("    reason: {code: A3, text: Late payments on earlier loans}\n", "",
         "columns[late_payments]: a feature needs a `reason` (code, text)"),
        ("code: A3", "code: a3", "columns[late_payments].reason.code: found 'a3'; allowed: a text of the form"),
        ("code: A3", "code: A4", "columns[has_guarantor].reason: A4 has two different texts"),
        (", why: known only after a default", "", "columns[collected_at]: an excluded column needs a `why`"),
        ("    nullable: true\n    missing_codes", "    missing_codes", "`missing_codes` stand for nulls"),
        ("adverse: defaulted", "adverse: repaid", "target: `adverse` and `favourable` are the same value"),
        ("column: outcome", "column: age", "the target 'age' may not be among `columns`"),
        ("name: gender, role", "name: age, role", "columns named twice: age"),
        ("name: instalment-loans", "name: Loans!", "name: found 'Loans!'; allowed: a text of the form"),
        ("unique: [loan_id]", "unique: [loan]", "unique: no such column: loan"),
        ("unique: [loan_id]", "unique: loan_id", "unique: found 'loan_id'; allowed: a list"),
        ("column: gender", "column: purpose", "sensitive.gender: column 'purpose' must have the role sensitive"),
        ("column: gender", "column: nobody", "column 'nobody' must have the role sensitive, is not a column"),
        ("column: age, bands", "column: gender, bands", "sensitive.age: `bands` cut a number, 'gender' is category"),
        ("bands: [30, 60]", "bands: [60, 30]", "sensitive.age: `bands` must rise"),
        ("bands: [30, 60]", "bands: [30, 30]", "sensitive.age: `bands` must rise"),
        ("reference: man", "reference: men", "reference 'men' is none of the groups: woman, man"),
        ("bands: [30, 60]", "groups: {1: a}, bands: [30, 60]", "give `column` with `groups` or `bands`, or `indic"),
        ("version: 1", "version: 2", "version: found 2; allowed: 1"),
    ],
)  # fmt: skip
def test_contradictions_are_refused_by_field(before: str, after: str, says: str) -> None:
    assert says in message(changed(before, after))


def test_contract_without_a_feature_is_refused() -> None:
    text = GOOD.replace("role: feature", "role: sensitive")
    assert "no column has the role feature" in message(text)


def test_columns_may_share_a_reason_word_for_word() -> None:
    text = changed("{code: A4, text: There is no guarantor}", "{code: A3, text: Late payments on earlier loans}")
    assert isinstance(parse_contract(text), Contract)


def test_bands_name_groups_without_a_gap() -> None:
    attribute = SensitiveAttribute(column="age", bands=(25, 62.5), reference="25 to under 62.5")
    assert attribute.group_names == ("under 25", "25 to under 62.5", "62.5 and over")
    assert attribute.columns == ("age",)


def test_indicators_name_groups_and_columns() -> None:
    attribute = SensitiveAttribute(indicators={"w": "white", "b": "Black", "c": "white"}, reference="white")
    assert attribute.group_names == ("white", "Black")
    assert attribute.columns == ("w", "b", "c")
