"""Frozen bins: every row in exactly one, edges that never move, and a profile that survives its file."""

import json

import numpy as np
import pandas as pd
import pytest

from tallystick.components.core.contract import Contract, parse_contract
from tallystick.components.core.encoding import Feature
from tallystick.components.core.errors import InputError
from tallystick.components.core.model_package import Bins
from tallystick.components.core.profiles import (
    SCORE,
    count_into,
    feature_bins,
    features_of,
    parse_profile,
    profile_json,
    profile_of,
    score_bins,
)

CONTRACT = """
version: 1
name: small
target: {column: y, adverse: 1, favourable: 0, meaning: not repaid}
columns:
  - name: amount
    role: feature
    type: number
    meaning: What is asked for
    unit: euro
    minimum: 0
    maximum: 1000
    nullable: true
    missing_codes: [999999.4]
    monotonic: increasing
    reason: &r {code: A, text: The amount asked for}
  - {name: kind, role: feature, type: category, nullable: true, categories: {a: one, b: two}, reason: *r}
  - {name: late, role: feature, type: integer, reason: *r}
  - {name: flag, role: feature, type: boolean, reason: *r}
"""


@pytest.fixture(scope="module")
def contract() -> Contract:
    return parse_contract(CONTRACT)


def table(rows: int = 1000) -> pd.DataFrame:
    generator = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "amount": generator.uniform(0, 1000, rows),
            "kind": generator.choice(["a", "b"], rows),
            "late": generator.poisson(0.7, rows),
            "flag": (generator.random(rows) < 0.04).astype(int),
        }
    )


def bins_by_name(contract: Contract, data: pd.DataFrame) -> dict[str, Bins]:
    return {bins.name: bins for bins in feature_bins(data, features_of(contract, data))}


def test_features_carry_the_contract_and_the_median_of_what_is_known(contract: Contract) -> None:
    data = table(5).assign(amount=[1.0, 999999.375, np.nan, 3.0, 5.0], late=[0, 1, 1, 2, 9])
    amount, kind, late, flag = features_of(contract, data)
    assert amount == Feature(
        name="amount",
        type="number",
        minimum=0,
        maximum=1000,
        nullable=True,
        missing_codes=(999999.4,),
        categories=(),
        impute=3.0,
        monotonic="increasing",
        reason_code="A",
        meaning="What is asked for",
        unit="euro",
    )
    assert kind.categories == ("a", "b")
    assert (late.impute, flag.impute) == (1.0, 0.0)


def test_features_are_narrowed_in_the_contracts_order(contract: Contract) -> None:
    assert [feature.name for feature in features_of(contract, table(), ["late", "amount"])] == ["amount", "late"]
    with pytest.raises(InputError, match="features: nobody: is no feature of the contract; allowed: amount, kind"):
        features_of(contract, table(), ["nobody"])


def test_feature_without_any_value_has_no_median(contract: Contract) -> None:
    with pytest.raises(InputError, match="column amount: has no value in the development rows"):
        features_of(contract, table().assign(amount=np.nan))


def test_numbers_fall_into_deciles_of_about_equal_size(contract: Contract) -> None:
    bins = bins_by_name(contract, table())["amount"]
    assert len(bins.edges) == 9
    assert len(bins.counts) == 10
    assert all(95 <= count <= 105 for count in bins.counts)


def test_every_row_is_counted_once(contract: Contract) -> None:
    data = table()
    data.loc[:9, "amount"] = np.nan
    data.loc[10:14, "amount"] = 999999.375
    data.loc[15:17, "amount"] = 5000.0
    data.loc[18, "amount"] = -1.0
    data.loc[:4, "kind"] = None
    data.loc[5:6, "kind"] = "c"
    for bins in bins_by_name(contract, data).values():
        assert sum(bins.counts) + bins.missing + bins.out_of_range == len(data)
    found = bins_by_name(contract, data)
    assert (found["amount"].missing, found["amount"].out_of_range) == (15, 4)
    assert (found["kind"].missing, found["kind"].out_of_range) == (5, 2)


def test_few_values_make_few_bins_and_none_empty(contract: Contract) -> None:
    found = bins_by_name(contract, table())
    data = table()
    assert found["flag"].edges == (0.0,)
    assert found["flag"].counts == (int((data["flag"] == 0).sum()), int((data["flag"] == 1).sum()))
    assert min(found["late"].counts) > 0
    assert found["kind"].values == ("a", "b")
    assert found["kind"].counts == tuple(int((data["kind"] == kind).sum()) for kind in "ab")


def test_edge_belongs_to_the_bin_below_it(contract: Contract) -> None:
    data = table(3).assign(late=[0, 1, 2])
    bins = bins_by_name(contract, data)["late"]
    assert bins.edges == (0.0, 1.0)
    assert bins.counts == (1, 1, 1)


def test_constant_column_sees_a_larger_value_later(contract: Contract) -> None:
    data = table(10).assign(late=4)
    feature = features_of(contract, data)[2]
    bins = feature_bins(data, [feature])[0]
    assert (bins.edges, bins.counts) == ((4.0,), (10, 0))
    assert count_into(bins, feature, pd.Series([4, 5, 3])).counts == (2, 1)


def test_later_rows_never_move_the_edges(contract: Contract) -> None:
    data = table()
    feature = features_of(contract, data)[0]
    frozen = feature_bins(data, [feature])[0]
    found = count_into(frozen, feature, data["amount"] + 500)
    assert found.edges == frozen.edges
    assert found.out_of_range == int((data["amount"] + 500 > 1000).sum())
    assert count_into(frozen, feature, data["amount"]) == frozen


def test_value_falls_into_one_bin_in_64_and_32_bits(contract: Contract) -> None:
    data = table(100).assign(amount=np.arange(100) / 10)
    feature = features_of(contract, data)[0]
    frozen = feature_bins(data, [feature])[0]
    assert count_into(frozen, feature, data["amount"].astype(np.float32).astype(np.float64)) == frozen


def test_scores_fall_into_their_own_deciles() -> None:
    bins = score_bins(np.random.default_rng(1).random(1000))
    assert bins.name == SCORE
    assert len(bins.counts) == 10
    assert all(99 <= count <= 101 for count in bins.counts)


def test_scores_that_many_rows_share_make_fewer_bins() -> None:
    bins = score_bins([0.1] * 60 + [0.2] * 30 + [0.9] * 10)
    assert bins.edges == (0.1, 0.2)
    assert bins.counts == (60, 30, 10)


def test_profile_reads_back_as_it_was_written(contract: Contract) -> None:
    data = table()
    profile = profile_of(data, features_of(contract, data), adverse_rate=0.1, scores=np.linspace(0, 1, 1000))
    assert parse_profile(profile_json(profile), "p") == profile
    without = profile_of(data, features_of(contract, data), adverse_rate=0.1)
    assert without.score.counts == ()
    assert parse_profile(profile_json(without), "p") == without


@pytest.mark.parametrize("text", ["", "{}", "[]", '"x"', '{"rows": "a", "features": [], "score": {}}'])
def test_text_that_is_no_profile_is_bad_input(text: str) -> None:
    with pytest.raises(InputError, match=r"my\.json: cannot be read as a reference profile"):
        parse_profile(text, "my.json")


def test_profile_whose_counts_do_not_fit_its_bins_is_bad_input(contract: Contract) -> None:
    data = table()
    value = json.loads(profile_json(profile_of(data, features_of(contract, data), adverse_rate=0.1)))
    value["features"][0]["counts"].append(3)
    with pytest.raises(InputError, match="amount: 11 counts do not fit its bins"):
        parse_profile(json.dumps(value), "p")
