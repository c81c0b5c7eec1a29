"""Raw counters: what happened since the last look, whatever happened to the instances."""

from __future__ import annotations

from tallystick.components.rollout_controller.counting import add, since, subtract
from tallystick.components.rollout_controller.observation import Counts, Reading


def reading(arm, requests, *, started="a", instance="pod", source="server", **counts) -> Reading:
    return Reading(
        arm=arm, source=source, instance=instance, started=started, counts=Counts(requests=requests, **counts)
    )


def after(*looks):
    """Requests of the canary by look."""
    marks, seen, found = {}, frozenset(), []
    for readings in looks:
        marks, seen, interval = since(marks, seen, readings)
        found.append(interval.total("canary").requests)
    return found


def test_a_first_sight_sets_the_mark_and_counts_nothing():
    assert after([reading("canary", 5000)], [reading("canary", 5007)]) == [0, 7]


def test_a_missing_look_loses_nothing():
    assert after([reading("canary", 10)], [], [reading("canary", 30)]) == [0, 0, 20]


def test_a_repeated_look_adds_nothing():
    assert after([reading("canary", 10)], [reading("canary", 15)], [reading("canary", 15)]) == [0, 5, 0]


def test_a_stale_look_adds_nothing_and_takes_nothing():
    looks = [[reading("canary", n)] for n in (10, 20, 15, 22)]
    assert after(*looks) == [0, 10, 0, 2]


def test_an_instance_that_started_anew_is_counted_from_zero():
    assert after([reading("canary", 10)], [reading("canary", 4, started="b")]) == [0, 4]
    # even when it has overtaken its old count
    assert after([reading("canary", 10)], [reading("canary", 40, started="b")]) == [0, 40]


def test_where_the_start_is_not_known_a_fall_is_a_reset():
    assert after([reading("canary", 10, started="")], [reading("canary", 4, started="")]) == [0, 4]


def test_a_replaced_instance_does_not_bring_its_history():
    looks = [[reading("canary", 10)], [reading("canary", 900, instance="other")]]
    assert after(*looks) == [0, 0]


def test_a_counter_that_alone_fell_makes_the_reading_stale():
    looks = [
        [reading("canary", 10, within=((0.1, 9),), timed=10, scores=(4, 5))],
        [reading("canary", 12, within=((0.1, 8),), timed=12, scores=(5, 6))],
        [reading("canary", 12, within=((0.1, 10),), timed=12, scores=(5, 4))],
        [reading("canary", 13, within=((0.1, 10),), timed=13, scores=(5, 6))],
    ]
    assert after(*looks) == [0, 0, 0, 3]


def test_only_spans_that_both_arms_share_are_compared():
    both = [reading("canary", 1), reading("baseline", 1)]
    marks, seen, first = since({}, frozenset(), both)
    assert first.concurrent == frozenset()
    marks, seen, second = since(marks, seen, [reading("canary", 3), reading("baseline", 9)])
    assert second.concurrent == {"server"}
    assert (second.compared("canary").requests, second.compared("baseline").requests) == (2, 8)
    marks, seen, third = since(marks, seen, [reading("canary", 4)])
    assert third.compared("canary").requests == 0
    assert third.total("canary").requests == 1
    _, _, fourth = since(marks, seen, [reading("canary", 6), reading("baseline", 20)])
    assert fourth.compared("baseline").requests == 0  # it covers two looks, the canary's only one


def test_sources_are_joined_field_by_field():
    gateway = reading("canary", 10, source="gateway")
    server = Reading(arm="canary", source="server", instance="p", started="a", counts=Counts(scores=(1, 2)))
    marks, seen, _ = since({}, frozenset(), [gateway, server])
    _, _, interval = since(
        marks,
        seen,
        [
            reading("canary", 14, source="gateway"),
            Reading(arm="canary", source="server", instance="p", started="a", counts=Counts(scores=(2, 5))),
        ],
    )
    assert interval.total("canary") == Counts(requests=4, scores=(1, 3))


def test_adding_keeps_the_edges_that_all_have():
    first = Counts(timed=3, within=((0.1, 1), (0.5, 2)))
    second = Counts(timed=5, within=((0.1, 4), (1.0, 5)))
    assert add([first, second, Counts()]) == Counts(timed=8, within=((0.1, 5),))
    assert add([]) == Counts()


def test_subtracting_is_the_inverse_of_adding():
    before = Counts(requests=3, failed=1, timed=3, within=((0.1, 2),), scores=(1, 2), adverse=1, favourable=2)
    more = Counts(requests=4, refused=2, timed=4, within=((0.1, 1),), scores=(0, 4), adverse=3, favourable=1)
    assert subtract(add([before, more]), before) == more
