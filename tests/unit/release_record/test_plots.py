"""The plots: well-formed, the same bytes each time, told in words, and drawn although figures are missing."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from tallystick.components.core import plots
from tallystick.components.core.plots_traffic import all_back_s
from tests.support import statements as sample

DETAILS = {
    name: value["predicate"].get("details", value["predicate"]) for name, value in sample.sample_statements().items()
}
DRAWN = {
    "roc": lambda: plots.roc_plot(DETAILS["evaluation"]),
    "calibration": lambda: plots.calibration_plot(DETAILS["evaluation"]),
    "groups": lambda: plots.group_rates_plot(
        [("Plain model", DETAILS["fairness_gate_plain"]), ("Chosen model", DETAILS["fairness_gate"])]
    ),
    "alternatives": lambda: plots.alternatives_plot(DETAILS["alternatives"]),
    "summary": lambda: plots.shap_summary_plot(DETAILS["explainability"]),
    "importances": lambda: plots.importances_plot(DETAILS["explainability"]),
    "promoted": lambda: plots.traffic_plot(DETAILS["rollout"]),
    "rolled_back": lambda: plots.traffic_plot(DETAILS["rollout-errors"]),
}


def words(svg: str) -> list[str]:
    """The texts that a reader sees, in the order of drawing."""
    root = ElementTree.fromstring(svg)
    return ["".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")]


def spoken(svg: str) -> str:
    return ElementTree.fromstring(svg).attrib["aria-label"]


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN.keys())
def test_a_plot_is_one_well_formed_element_with_a_name_that_loads_nothing(draw):
    svg = draw()
    root = ElementTree.fromstring(svg)
    assert root.attrib["role"] == "img"
    assert len(root.attrib["aria-label"]) > 40
    assert "width" not in root.attrib
    assert re.findall(r'href="(?!#)|url\((?!#)|<script|@import', svg) == []
    assert "<metadata" not in svg


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN.keys())
def test_a_plot_is_the_same_bytes_each_time(draw):
    assert draw() == draw()


def test_two_plots_on_one_page_share_no_identifier():
    first = plots.traffic_plot(DETAILS["rollout"], key="one")
    second = plots.traffic_plot(DETAILS["rollout"], key="two")
    identifiers = [set(re.findall(r'id="([^"]+)"', svg)) for svg in (first, second)]
    assert not identifiers[0] & identifiers[1]
    assert {name.split("-")[0] for name in identifiers[0]} == {"one"}


def test_figures_in_texts_are_not_shortened_with_the_coordinates():
    assert "AUC 0.878 (0.830 to 0.921)" in words(DRAWN["roc"]())


def test_the_roc_says_where_the_policy_decides_unless_one_outcome_is_absent():
    assert "where the policy decides" in words(DRAWN["roc"]())
    one_class = {**DETAILS["evaluation"], "confusion": [[400, 97], [0, 0]]}
    assert "where the policy decides" not in words(plots.roc_plot(one_class))


def test_calibration_counts_the_bins_that_are_right():
    entry = {"rows": 50, "low": 0.1, "high": 0.3, "observed": 0.2}
    details = {"sample": "holdout", "calibration": [{**entry, "mean_score": 0.3}, {**entry, "mean_score": 0.301}]}
    assert "in 1 of 2 bins" in spoken(plots.calibration_plot(details))


def test_calibration_without_any_bin_is_an_empty_plot():
    assert "in 0 of 0 bins" in spoken(plots.calibration_plot({"sample": "holdout", "calibration": []}))


def group(name, sample_name, ratio, interval):
    rate = None if ratio is None and name != "men" else 0.8
    return {
        "group": name, "sample": sample_name, "rows": 40, "approval_rate": rate,
        "interval": [0.7, 0.9] if rate else None,
        "adverse_impact_ratio": ratio, "ratio_interval": interval,
    }  # fmt: skip


def gate(sample_name, ratio, interval, **attribute):
    groups = [group("men", sample_name, None, None), group("women", sample_name, ratio, interval)]
    return {"line": 0.8, "attributes": {"sex": {"reference": "men", "required": True, "groups": groups, **attribute}}}


@pytest.mark.parametrize(
    ("sample_name", "ratio", "interval", "text"),
    [
        ("out_of_fold", 0.79, [0.6, 0.9], "0.79, below the line"),
        ("out_of_fold", 0.80, [0.6, 0.9], "0.80"),
        ("holdout", 0.79, [0.6, 0.79], "0.79, below the line"),
        ("holdout", 0.79, [0.6, 0.80], "0.79, interval reaches it"),
        ("holdout", 0.81, [0.6, 0.95], "0.81"),
    ],
)
def test_a_ratio_is_called_below_the_line_exactly_where_the_gate_says_so(sample_name, ratio, interval, text):
    svg = plots.group_rates_plot([("Model", gate(sample_name, ratio, interval))], sample=sample_name)
    assert text in words(svg)
    assert f"adverse impact ratio {ratio:.2f}" in spoken(svg)


def test_a_group_without_any_rate_is_named_and_has_no_point():
    svg = plots.group_rates_plot([("Model", gate("out_of_fold", None, None))])
    assert "women" in words(svg)
    assert "adverse impact ratio" not in spoken(svg)


def test_attributes_that_decide_come_first_and_the_others_say_that_they_do_not():
    model = gate("out_of_fold", 0.9, [0.8, 1.0])
    model["attributes"] = {
        "age_band": {**model["attributes"]["sex"], "required": False},
        "sex": model["attributes"]["sex"],
    }
    texts = words(plots.group_rates_plot([("Model", model)]))
    assert texts.index("Sex") < texts.index("Age band (recorded, does not decide)")


def test_alternatives_without_figures_are_left_out_and_methods_not_known_are_drawn():
    details = DETAILS["alternatives"]
    entry = details["alternatives"][0]
    strange = [{**entry, "auc": None}, {**entry, "method": "something new"}]
    assert spoken(plots.alternatives_plot({**details, "alternatives": strange})).startswith("Models tried: 1,")
    assert "Candidate" in words(plots.alternatives_plot({**details, "alternatives": strange}))


def test_values_are_coloured_from_low_to_high_and_missing_ones_apart():
    from tallystick.components.core.plots import _levels

    assert _levels([1, 2, 3, 4, 5]).tolist() == [0, 1, 2, 3, 4]
    assert _levels([False, True, None, False]).tolist() == [0, 4, -1, 0]
    assert _levels([7, 7, 7]).tolist() == [2, 2, 2]
    assert _levels(["home", None]).tolist() == [-1, -1]
    assert _levels([]).tolist() == []


def test_a_beeswarm_spreads_equal_values_within_its_row():
    from tallystick.components.core.plots import _swarm

    shifts = _swarm(np.zeros(21))
    assert len(set(shifts.round(9).tolist())) == 21
    assert max(abs(shifts)) <= 0.38


def test_a_meaning_is_labelled_without_its_brackets():
    entry = {"feature": "x", "meaning": "Loan divided by price (may exceed 1); see notes", "mean_absolute": 0.5}
    assert "Loan divided by price" in words(plots.importances_plot({"importances": [entry]}))


@pytest.mark.parametrize(
    ("decided", "back", "expected"), [(7.3, 7.9, 7.9), (7.3, 7.1, 7.3), (None, 7.9, 7.9), (7.3, None, None)]
)
def test_all_traffic_is_back_no_sooner_than_it_was_decided(decided, back, expected):
    assert all_back_s({"decided_s": decided, "traffic_back_s": back}) == expected


def test_the_moments_of_a_rollback_are_marked_and_spoken():
    svg = DRAWN["rolled_back"]()
    assert {"first bad answer, 1.2 s", "decided to take it back, 7.3 s", "all traffic back, 7.9 s"} <= set(words(svg))
    assert "first bad answer at 1.2 s. decided to take it back at 7.3 s. all traffic back at 7.9 s." in spoken(svg)
    assert "up to 5 %" in spoken(svg)
