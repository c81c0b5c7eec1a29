"""Looks for a less discriminatory alternative to a plain model that was refused, and logs every one it tried.

The order is fixed and the search is exhaustive within it, so that it can be repeated: model classes and
regularisation, feature sets, reductions, and thresholds per group for comparison. It judges on development
rows, out of fold. The best of many noisy figures is too good (the winner's curse), so whatever is to be
chosen is scored again on folds that were shuffled anew, and only those scores go to the gate; the hold-out
sample confirms or contradicts them there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tallystick.components.core.candidates import OUT_OF_FOLD
from tallystick.components.core.contract import Contract
from tallystick.components.core.ensembles import Floats, LinearModel
from tallystick.components.core.measures.discrimination import auc
from tallystick.components.core.policy import Candidate, Policy
from tallystick.components.training.alternatives import Alternative, Tried, Yardstick
from tallystick.components.training.crossvalidation import Workshop
from tallystick.components.training.group_thresholds import group_thresholds
from tallystick.components.training.packaging import platt_scaling, predictions_of
from tallystick.components.training.recipes import Recipe, Reweighing

Progress = Callable[[float, str], None]

REGULARISATIONS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
MULTIPLIERS = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)
FEW_MULTIPLIERS = (0.5, 0.75, 1.0)
TREE_MULTIPLIERS = (1.0, 2.0)  # binning with weights makes each of these cost as much as fifty linear fits
LEAF_ROWS = (15,)
_FEATURES_RANKED = 8
_LARGEST_SET = 6
_SETS_COMBINED = 2
_LEAST_COST = 0.0005
_SHARES = {"regularisation": 0.25, "feature_sets": 0.65, "reductions": 1.0}  # of the alternatives allowed, added up
IS_BENCHMARK = "it is the benchmark that a release has to match, and not itself for release"
NOT_TRIED = (
    {
        "method": "ExponentiatedGradient (fairlearn)",
        "why": "its predictor draws at random among several models: the same applicant could be answered differently",
    },
)


@dataclass(frozen=True, kw_only=True)
class Gap:
    """How far a group's average score lies above the reference's, feature by feature, in log-odds."""

    attribute: str
    group: str
    features: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the search found; `chosen` is None when the plain model itself is handed on."""

    alternatives: tuple[Alternative, ...]
    chosen: Alternative | None
    confirmed: Tried | None
    gap: Gap | None
    left_out: int

    def statement(self, *, plain: dict[str, Any], line: float, maximum_auc_loss: float) -> dict[str, Any]:
        """The predicate of the statement ``alternatives``."""
        return {
            "searched": True,
            "plain": plain,
            "line": line,
            "maximum_auc_loss": maximum_auc_loss,
            "alternatives": [alternative.to_json() for alternative in self.alternatives],
            "chosen": self.chosen.name if self.chosen else plain["name"],
            "chosen_is_eligible": self.chosen is not None and self.chosen.eligible,
            "gap": None
            if self.gap is None
            else {
                "attribute": self.gap.attribute,
                "group": self.gap.group,
                "features": [{"feature": name, "log_odds": value} for name, value in self.gap.features],
            },
            "not_tried": [*NOT_TRIED],
            "left_out": self.left_out,
            "note": (
                "The fairness lines are judged out of fold, after a search over "
                f"{len(self.alternatives)} alternatives on the same applicants, and the best of many noisy figures "
                "is too good. What is chosen was therefore scored again on folds shuffled anew; those scores are "
                "what the gate judges, and the hold-out sample, which the search never saw, has to confirm them."
            ),
        }


class Search:
    """One search; `run` does it."""

    def __init__(
        self,
        workshop: Workshop,
        again: Workshop,
        yardstick: Yardstick,
        *,
        plain: Recipe,
        plain_scores: Floats,
        worst: tuple[str, str] | None,
        progress: Progress,
    ) -> None:
        """Prepare a search.

        Parameters
        ----------
        workshop, again
            The folds that are searched on, and those that the chosen is confirmed on.
        plain, plain_scores
            The refused model's recipe and out-of-fold scores.
        worst
            Attribute and group with the lowest adverse impact ratio; None where no group could be judged.
        """
        self._workshop, self._again, self._yardstick = workshop, again, yardstick
        self._plain, self._plain_scores, self._worst = plain, plain_scores, worst
        self._progress = progress
        self._policy: Policy = yardstick.policy
        self._contract: Contract = yardstick.contract
        self._tried: dict[str, Alternative] = {}
        self._left_out = 0
        self._guide = _guide(self._policy)
        self._benchmark = next(
            _recipe(c) for c in self._policy.training.candidates if c.name == self._policy.training.benchmark
        )

    def run(self) -> Found:
        """Try every method of the policy in turn, choose, and confirm."""
        gap = None
        methods = self._policy.search.methods
        if "regularisation" in methods:
            self._try("regularisation", list(self._regularised()), 0.0)
            self._guide = self._best_guide()
        if self._worst is not None:
            gap = self._gap(*self._worst)
            if "feature_sets" in methods:
                self._feature_sets(gap)
            if "reductions" in methods:
                self._reductions(*self._worst)
            if "threshold_optimiser" in methods:
                self._progress(0.8, "thresholds per group, for comparison")
                self._group_thresholds(*self._worst)
        self._progress(0.85, "confirming on folds shuffled anew")
        chosen, confirmed = self._confirm()
        alternatives = tuple(
            replace(entry, chosen=chosen is not None and entry.name == chosen.name) for entry in self._tried.values()
        )
        return Found(
            alternatives=alternatives,
            chosen=next((entry for entry in alternatives if entry.chosen), None),
            confirmed=confirmed,
            gap=gap,
            left_out=self._left_out,
        )

    def _try(self, method: str, recipes: Sequence[tuple[Recipe, str]], done: float) -> None:
        room = self._limit(method) - len(self._tried)
        new: dict[str, tuple[Recipe, str]] = {}
        for recipe, description in recipes:
            same = recipe.name in self._tried or _same_model(recipe, self._plain)
            if not same:
                new.setdefault(recipe.name, (recipe, description))
        self._left_out += max(0, len(new) - room)
        taken = list(new.values())[: max(0, room)]
        if not taken:
            return
        self._progress(done, f"{method.replace('_', ' ')}: {len(taken)} alternatives")
        scores = self._workshop.out_of_fold([recipe for recipe, _ in taken])
        for (recipe, description), own in zip(taken, scores, strict=True):
            tried = Tried(recipe=recipe, method=method, description=description, scores=own)
            self._tried[recipe.name] = self._judged(tried)

    def _limit(self, method: str) -> int:
        """How many alternatives may have been tried after this method: none may leave the later ones no room."""
        later = [name for name in _SHARES if name in self._policy.search.methods]
        share = 1.0 if later and later[-1] == method else _SHARES[method]
        return max(1, int(share * self._policy.search.maximum_alternatives))

    def _judged(self, tried: Tried) -> Alternative:
        judged = self._yardstick.judge(self._calibrated(tried))
        if _same_model(tried.recipe, self._benchmark) and judged.eligible:
            return replace(judged, why_not=IS_BENCHMARK)
        return judged

    def _calibrated(self, tried: Tried) -> Tried:
        """A reweighed model's scores as the probabilities they will be released as; ranks stay."""
        if tried.recipe.reweighing is None:
            return tried
        scaling = platt_scaling(tried.scores, self._workshop.samples.development.adverse)
        return replace(tried, scores=scaling.apply(tried.scores))

    def _regularised(self) -> Iterator[tuple[Recipe, str]]:
        for candidate in self._policy.training.candidates:
            yield _recipe(candidate), f"the policy's candidate {candidate.name}"
        base = self._guide
        for strength in REGULARISATIONS:
            recipe = replace(base, name=f"logistic, C = {strength:g}", parameters={**base.parameters, "C": strength})
            if not _same_model(recipe, base):
                yield recipe, f"logistic regression on all features with penalty C = {strength:g}"
        if self._plain.kind == "random_forest":
            for rows in LEAF_ROWS:
                parameters = {**self._plain.parameters, "min_samples_leaf": rows}
                name = f"{self._plain.name}, leaves of {rows}"
                yield (
                    replace(self._plain, name=name, parameters=parameters),
                    f"the plain model with at least {rows} applicants a leaf",
                )

    def _gap(self, attribute: str, group: str) -> Gap:
        """The group's score gap, exactly decomposed: coefficient times difference of the feature's means."""
        rows = self._workshop.samples.development
        model = self._workshop.whole(self._guide).extract()
        assert isinstance(model, LinearModel)  # noqa: S101 - the guide is a logistic regression
        labels = rows.groups[attribute]
        reference = self._contract.sensitive[attribute].reference
        _, columns = self._workshop.samples.columns(self._guide.features)
        matrix = rows.matrix[:, columns]
        parts = model.coefficients * (matrix[labels == group].mean(axis=0) - matrix[labels == reference].mean(axis=0))
        features: list[tuple[str, float]] = []
        start = 0
        for feature in self._workshop.samples.columns(self._guide.features)[0]:
            width = len(feature.encoded_names)
            features.append((feature.name, float(parts[start : start + width].sum())))
            start += width
        features.sort(key=lambda entry: (-entry[1], entry[0]))
        return Gap(attribute=attribute, group=group, features=tuple(features))

    def _feature_sets(self, gap: Gap) -> None:
        """Leave out what widens the gap most: one feature at a time, then several, then for the plain's class."""
        ranked = [name for name, value in gap.features if value > 0.0][:_FEATURES_RANKED]
        self._try("feature_sets", [self._without(self._guide, (name,)) for name in ranked], 0.3)
        cost = {
            name: (self._auc_of_guide() - (entry.auc or 0.0))
            for name in ranked
            if (entry := self._tried.get(self._without(self._guide, (name,))[0].name)) is not None
        }
        widening = dict(gap.features)
        cheap = sorted(cost, key=lambda name: -widening[name] / max(cost[name], _LEAST_COST))
        sets = [tuple(order[:size]) for order in (ranked, cheap) for size in range(2, _LARGEST_SET + 1)]
        sets = [entry for entry in dict.fromkeys(tuple(sorted(s)) for s in sets) if self._enough_left(entry)]
        self._try("feature_sets", [self._without(self._guide, entry) for entry in sets], 0.4)
        if self._plain.kind != "logistic_regression" or self._plain.features:
            best = [self._left_out_of(entry) for entry in self._promising()[:1]]
            self._try("feature_sets", [self._without(self._plain, entry) for entry in best], 0.5)

    def _reductions(self, attribute: str, group: str) -> None:
        """The guide under every multiplier; promising feature sets, and a boosted plain model, under a few."""
        boosting = [self._plain] if self._plain.kind == "hist_gradient_boosting" else []
        sets = [entry.recipe for entry in self._promising() if entry.recipe is not None]
        bases = [(self._guide, MULTIPLIERS), *((base, FEW_MULTIPLIERS) for base in sets)]
        bases += [(base, TREE_MULTIPLIERS) for base in boosting]
        recipes = []
        for base, multipliers in bases:
            for multiplier in multipliers:
                reweighing = Reweighing(attribute=attribute, group=group, multiplier=multiplier)
                description = (
                    f"{base.name}, trained under demographic parity for {group} with multiplier {multiplier:g}; "
                    f"{attribute} weights the training rows and is no input"
                )
                recipe = replace(base, name=f"{base.name}, reweighed {multiplier:g}", reweighing=reweighing)
                recipes.append((recipe, description))
        self._try("reductions", recipes, 0.65)

    def _group_thresholds(self, attribute: str, group: str) -> None:
        rows = self._workshop.samples.development
        alternative = group_thresholds(
            self._plain_scores,
            rows.adverse,
            rows.groups[attribute],
            attribute=attribute,
            reference=self._contract.sensitive[attribute].reference,
            minimum=self._policy.fairness.minimum_group,
        )
        self._tried[alternative.name] = alternative

    def _confirm(self) -> tuple[Alternative | None, Tried | None]:
        """The most accurate eligible alternative that keeps the lines on other folds too; else the least unfair."""
        eligible = [entry for entry in self._tried.values() if entry.eligible]
        yardstick = self._yardstick_again() if eligible else self._yardstick
        for entry in sorted(eligible, key=lambda entry: (-(entry.auc or 0.0), entry.name)):
            assert entry.recipe is not None  # noqa: S101 - without a recipe nothing is eligible
            (scores,) = self._again.out_of_fold([entry.recipe])
            tried = Tried(recipe=entry.recipe, method=entry.method, description=entry.description, scores=scores)
            again = yardstick.judge(self._calibrated(tried), margin=False)
            confirmed = replace(
                entry,
                confirmed_auc=again.auc,
                confirmed_ratio=again.adverse_impact_ratio,
                why_not=f"not confirmed on folds shuffled anew: {again.why_not}" if again.why_not else "",
            )
            self._tried[entry.name] = confirmed
            if confirmed.eligible:
                return confirmed, tried
        return self._least_unfair()

    def _yardstick_again(self) -> Yardstick:
        """The plain model and the benchmark on the other folds too: only like is compared with like."""
        plain, benchmark = self._again.out_of_fold([self._plain, self._benchmark])
        rows = self._again.samples.development
        return replace(
            self._yardstick,
            benchmark=predictions_of(rows, benchmark, OUT_OF_FOLD),
            plain_auc=auc(rows.adverse, plain).figure,
        )

    def _least_unfair(self) -> tuple[Alternative | None, Tried | None]:
        """Of those that break a line at an allowed cost, the fairest: the gate is to refuse it with its figures."""
        floor = self._yardstick.plain_auc - self._policy.search.maximum_auc_loss
        broken = [
            entry
            for entry in self._tried.values()
            if entry.recipe and not entry.keeps_lines and entry.auc is not None and entry.auc >= floor
        ]
        best = max(broken, key=lambda e: (e.adverse_impact_ratio or 0.0, e.auc or 0.0), default=None)
        if best is None or best.recipe is None or best.scores is None:
            return None, None
        (scores,) = self._workshop.out_of_fold([best.recipe])
        return best, Tried(recipe=best.recipe, method=best.method, description=best.description, scores=scores)

    def _promising(self) -> list[Alternative]:
        """The feature sets to build on: the fairest among those whose cost in accuracy is allowed."""
        floor = self._yardstick.plain_auc - self._policy.search.maximum_auc_loss
        own = [
            entry
            for entry in self._tried.values()
            if entry.method == "feature_sets"
            and entry.recipe is not None
            and entry.recipe.kind == self._guide.kind
            and self._left_out_of(entry)
            and (entry.auc or 0.0) >= floor
        ]
        own.sort(key=lambda entry: (not entry.eligible, -(entry.adverse_impact_ratio or 0.0), entry.name))
        return own[:_SETS_COMBINED]

    def _best_guide(self) -> Recipe:
        """The most accurate logistic regression on all features among those tried."""
        everything = self._all_of(Recipe(name="", kind="logistic_regression"))
        own = [
            entry
            for entry in self._tried.values()
            if entry.recipe and entry.recipe.kind == self._guide.kind and self._all_of(entry.recipe) == everything
        ]
        best = max(own, key=lambda entry: entry.auc or 0.0, default=None)
        return best.recipe if best and best.recipe else self._guide

    def _auc_of_guide(self) -> float:
        same = (e for e in self._tried.values() if e.recipe and _same_model(e.recipe, self._guide))
        known = next(same, None)
        if known is not None and known.auc is not None:
            return known.auc
        if _same_model(self._guide, self._plain):
            return self._yardstick.plain_auc
        (scores,) = self._workshop.out_of_fold([self._guide])
        return auc(self._workshop.samples.development.adverse, scores).figure

    def _all_of(self, recipe: Recipe) -> tuple[str, ...]:
        return tuple(feature.name for feature in self._workshop.samples.columns(recipe.features)[0])

    def _left_out_of(self, alternative: Alternative) -> tuple[str, ...]:
        if alternative.recipe is None:
            return ()
        kept = set(self._all_of(alternative.recipe))
        return tuple(name for name in self._all_of(self._guide) if name not in kept)

    def _enough_left(self, left_out: tuple[str, ...]) -> bool:
        return len(left_out) <= len(self._all_of(self._guide)) - 2

    def _without(self, base: Recipe, left_out: tuple[str, ...]) -> tuple[Recipe, str]:
        kept = tuple(name for name in self._all_of(base) if name not in left_out)
        meanings = [self._contract.column(name).meaning or name for name in sorted(left_out)]
        recipe = replace(base, name=f"{base.name} without {', '.join(sorted(left_out))}", features=kept)
        return recipe, f"{base.name}, leaving out: {'; '.join(meanings)}"


def _recipe(candidate: Candidate) -> Recipe:
    return Recipe(
        name=candidate.name, kind=candidate.kind, parameters=candidate.parameters, features=candidate.features
    )


def _guide(policy: Policy) -> Recipe:
    """The model the search thinks with: a logistic regression on all features, fitted in milliseconds."""
    for candidate in policy.training.candidates:
        if candidate.kind == "logistic_regression" and not candidate.features:
            return _recipe(candidate)
    return Recipe(name="logistic", kind="logistic_regression", parameters={"C": 0.1})


def _same_model(first: Recipe, second: Recipe) -> bool:
    return replace(first, name="") == replace(second, name="")
