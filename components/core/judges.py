"""Judges a model's predictions against the policy: the gates and the search ask the same two functions.

Pure: arrays and a policy in, a verdict and the details of its report out. A search that judged by another
yardstick than the gate would find alternatives that the gate then refuses, or refuse what it would let pass.
"""

from __future__ import annotations

from tallystick.components.core.judging_fairness import FairnessDetails, judge_fairness
from tallystick.components.core.judging_performance import PerformanceDetails, judge_performance
from tallystick.components.core.judging_words import Subject

__all__ = ["FairnessDetails", "PerformanceDetails", "Subject", "judge_fairness", "judge_performance"]
