"""Bins at their edges, lines of several workers, and the text form."""

from __future__ import annotations

import multiprocessing
import os

import pytest

from tallystick.components.core.model_package import Bins, ModelPackage
from tallystick.components.model_server.counters import BinPlaces, Counters

NUMBERS = Bins(name="income", edges=(1.0, 2.0, 4.0), counts=(10, 20, 30, 30), missing=8, out_of_range=2)
CATEGORIES = Bins(name="purpose", values=("home", "car"), counts=(3, 1), missing=0)


@pytest.mark.parametrize(
    ("value", "place"),
    [(0.0, 0), (1.0, 0), (1.0000001, 1), (2.0, 1), (3, 2), (4.0, 2), (4.1, 3), (1e9, 3), (None, 4)],
)
def test_a_bin_ends_at_its_edge(value: float | None, place: int) -> None:
    assert BinPlaces(NUMBERS, 100).place(value) == 100 + place


@pytest.mark.parametrize(("value", "place"), [("home", 0), ("car", 1), (None, 2), ("boat", 3)])
def test_categories_have_a_bin_each(value: str | None, place: int) -> None:
    assert BinPlaces(CATEGORIES, 7).place(value) == 7 + place


def test_booleans_find_the_bins_of_zero_and_one() -> None:
    places = BinPlaces(Bins(name="b", values=(0, 1), counts=(1, 1), missing=0), 0)
    assert [places.place(False), places.place(True), places.place(1.0)] == [0, 1, 1]


def test_reference_shares_are_of_the_whole_sample() -> None:
    assert BinPlaces(NUMBERS, 0).reference == (0.1, 0.2, 0.3, 0.3, 0.08, 0.02)
    assert sum(BinPlaces(CATEGORIES, 0).reference) == 1.0


def series(counters: Counters, start: str) -> dict[str, float]:
    lines = counters.exposition().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start)}


def test_workers_count_in_lines_of_their_own_and_a_scrape_adds_them_up(package: ModelPackage) -> None:
    counters = Counters(package, workers=3)
    fork = multiprocessing.get_context("fork")

    def work(worker: int) -> None:
        counters.use_line(worker)
        for _ in range(1000):
            counters.request("ok", 0.0002)
        os._exit(0)

    processes = [fork.Process(target=work, args=(worker,)) for worker in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    counters.use_line(0)
    counters.request("ok", 0.0002)
    found = series(counters, "tallystick_requests_total")
    assert sum(found.values()) == 3001
    buckets = series(counters, "tallystick_request_duration_seconds_bucket")
    by_edge = {name.split('le="')[1].rstrip('"}'): value for name, value in buckets.items()}
    assert by_edge["0.0001"] == 0
    assert by_edge["0.00025"] == by_edge["+Inf"] == 3001
    (total,) = series(counters, "tallystick_request_duration_seconds_sum").values()
    assert total == pytest.approx(3001 * 0.0002)


def test_many_rows_count_as_many_single_rows_do(package: ModelPackage) -> None:
    rows = [dict(row) for row in package.examples.rows]
    names = [feature.name for feature in package.interface.features]
    together, alone = Counters(package), Counters(package)
    columns = [[row[name] for row in rows] for name in names]
    together.answered(columns, [0.1, 0.2, 0.9], ["favourable", "favourable", "adverse"])
    for place, (score, decision) in enumerate([(0.1, "favourable"), (0.2, "favourable"), (0.9, "adverse")]):
        alone.answered([[values[place]] for values in columns], [score], [decision])
    assert together.exposition() == alone.exposition()


def test_a_name_cannot_break_out_of_its_label(package: ModelPackage) -> None:
    places = BinPlaces(Bins(name="x", values=('a"} 9\nfake{b="', "c\\"), counts=(1, 1), missing=0), 0)
    assert places.labels[0].startswith("=")
    profile = package.profile
    odd = Bins(name="purpose", values=('a"} 9\nfake 1', "c\\"), counts=(1, 1), missing=0)
    changed = type(profile)(
        rows=2,
        features=tuple(odd if bins.name == "purpose" else bins for bins in profile.features),
        score=profile.score,
        adverse_rate=0.5,
    )
    text = Counters(type(package)(**{**vars(package), "profile": changed})).exposition().decode()
    assert "\nfake" not in text
    assert r"=a\"} 9\nfake 1" in text
