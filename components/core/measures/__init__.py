"""Measures that gates judge by: discrimination, calibration, fairness, and the intervals around them.

Plain functions of arrays. No threshold lives here: lines are the policy's.
"""
