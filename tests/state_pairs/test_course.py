"""Does the velocity follow the course of the cells, and how much of it does a simulation make: closed forms."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from anndata import AnnData

import scdash
from scdash._data import CellHalves, TimeSeries
from scdash.dynamics.predictors import no_change, relaxation
from scdash.dynamics.problem import Units
from scdash.dynamics.reporting.direction import DirectionTest, arrivals, directions, field_velocity
from scdash.dynamics.reporting.lineages import covered
from scdash.dynamics.state_pairs.train import validation_levels, validation_rows
from scdash.fields import Phoenix

GENES = 40
UNITS = Units(np.full(GENES, 1.5), np.linspace(0.5, 4, GENES))


def halves(course: np.ndarray, noise: float, seed: int = 0, draws: int = 8) -> CellHalves:
    """Return quarters of cells whose bins follow `course` (bins, genes), with noise of their own."""
    rng = np.random.default_rng(seed)
    return CellHalves(course + noise * rng.normal(size=(4, draws, 1, *course.shape)), None)  # type: ignore[arg-type]


def test_velocities_along_across_and_against_the_course() -> None:
    ahead, aside = np.zeros(GENES), np.zeros(GENES)
    ahead[0], aside[1] = 1.0, 1.0
    course = np.linspace(0, 3, 20)[:, None] * ahead
    found = directions(
        halves(course, 0.0),
        UNITS,
        {"along": lambda x: np.tile(ahead, (len(x), 1)), "across": lambda x: np.tile(aside, (len(x), 1)),
         "against": lambda x: np.tile(-ahead, (len(x), 1)), "half": lambda x: np.tile(ahead * UNITS.range[1]
         + aside * UNITS.range[0], (len(x), 1))},
    )  # fmt: skip
    assert found["start"].tolist() == [0, 0.2, 0.4, 0.6, 0.8] and found["stop"].tolist() == [0.2, 0.4, 0.6, 0.8, 1]
    for name, cosine in {"along": 1, "across": 0, "against": -1, "half": 0.5**0.5, "other cells": 1}.items():
        np.testing.assert_allclose(found[name], cosine, atol=1e-12)  # "half" is diagonal in the units of the data


def test_each_part_is_judged_by_its_own_change() -> None:
    course = np.zeros((20, GENES))
    course[:, 0] = np.abs(
        np.arange(20) - 11.5
    )  # back and forth: turns between bins 11 and 12, the edge of parts 3 and 4
    found = directions(halves(course, 0.0), UNITS, {"falls": lambda x: np.tile(-np.eye(GENES)[0], (len(x), 1))})
    np.testing.assert_allclose(found["falls"], [1, 1, 1, -1, -1], atol=1e-12)


def test_noise_alone_does_not_look_like_relaxation_or_a_course() -> None:
    """A field that pulls every state to the mean follows nothing, though bins that lie high by chance are pulled down."""
    quarters = halves(np.full((20, GENES), 3.0), 1.0, draws=40)
    centre = (3.0 - UNITS.minimum) / UNITS.range
    found = directions(quarters, UNITS, {"relaxing": lambda x: centre - x})
    assert np.abs(found[["relaxing", "other cells"]].to_numpy()).max() < 0.15
    a, _ = quarters.halves  # the same cells on both sides: the trap
    pull, change = (3.0 - a)[:, 0, 16:].sum(1), a[:, 0, 19] - a[:, 0, 16]
    own = (pull * change).sum(1) / np.linalg.norm(pull, axis=1) / np.linalg.norm(change, axis=1)
    assert abs(own.mean()) < 0.15  # balanced within a part, but not against its last bin
    last = a[:, 0, 19] - 3.0
    assert ((3.0 - a[:, 0, 19]) * last).sum(1).mean() < 0


def test_noise_lowers_what_any_velocity_can_reach() -> None:
    course = np.linspace(0, 3, 20)[:, None] * np.ones(GENES)
    speed = np.ones(GENES) / UNITS.range  # one unit of the data for every gene
    found = directions(halves(course, 0.5), UNITS, {"true": lambda x: np.tile(speed, (len(x), 1))})
    assert (found["other cells"] < found["true"]).all() and (found["true"] < 0.9).all()


def test_too_few_bins_give_no_parts() -> None:
    assert directions(halves(np.zeros((9, GENES)), 1.0), UNITS, {"any": lambda x: x}).empty


def test_the_velocity_of_a_field_is_its_equation_in_the_series_units() -> None:
    """dx/dt = v (b - x) in stretched units y = 1/2 + s (x - 1/2), so v ((b - 1/2) / s + 1/2 - x) in the series' own."""
    field = Phoenix(3, encoder="genes")
    params = field.init(1, torch.Generator().manual_seed(0))
    params = {name: torch.zeros_like(value) for name, value in params.items()}
    params["v"] += 2.0
    params["bias"] += torch.tensor([0.2, 0.5, 0.9])
    x = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    expected = 2.0 * ((np.array([0.2, 0.5, 0.9]) - 0.5) / 3.0 + 0.5 - x)
    np.testing.assert_allclose(field_velocity(field, params, 3.0)(x), expected, rtol=1e-5)


def line(trajectories: int = 2, bins: int = 6) -> TimeSeries:
    states = np.tile(np.linspace(0, 1, bins)[:, None] * np.arange(1, GENES + 1), (trajectories, 1))
    split = np.tile([0] * (bins - 3) + [1, 1, 2], trajectories).astype(np.int8)
    names = tuple(f"t{k}" for k in range(trajectories))
    times = np.tile(np.arange(bins, dtype=float), trajectories)
    genes = pd.Index([f"g{i}" for i in range(GENES)])
    return TimeSeries(states, times, np.repeat(np.arange(trajectories), bins), names, split, genes)


def test_the_share_of_the_change_that_is_made() -> None:
    series = line()
    observed, stayed = arrivals(series, UNITS, no_change)
    np.testing.assert_allclose(observed, np.tile(np.arange(1, GENES + 1) * UNITS.range, (2, 1)))
    assert covered(observed, stayed) == 0 and covered(observed, observed) == 1
    there = relaxation(np.arange(1.0, GENES + 1), np.full(GENES, np.log(2) / 5))  # half-way after five units of time
    assert covered(observed, arrivals(series, UNITS, there)[1]) == pytest.approx(0.5)
    assert np.isnan(covered(np.zeros((1, 3)), np.ones((1, 3))))


def test_the_lines_say_where_the_velocity_fails() -> None:
    table = pd.DataFrame({"start": [0, 0.2, 0.4, 0.6, 0.8], "stop": [0.2, 0.4, 0.6, 0.8, 1.0]})
    table["phoenix"], table["no network"], table["other cells"] = [0.6, 0.1, 0.5, 0.2, -0.1], -0.5, 0.7
    lines = DirectionTest(
        table,
        {"trajectory_covered": 0.65, "trajectory_covered_no_network": 0.49},
        ("MYOG (observed +4.0, predicted +1.0)",),
    ).lines()
    assert "reproduces 65% of the total expression change (49% without a network). Largest misses: MYOG" in lines[0]
    assert "phoenix 0.60 0.10 0.50 0.20 -0.10; no network -0.50" in lines[1]
    assert "20-40 % and 60-100 % of the trajectory" in lines[2]
    fine = DirectionTest(
        table.assign(phoenix=0.6), {"trajectory_covered": 1.0, "trajectory_covered_no_network": 0.0}
    ).lines()
    assert not any("WARNING" in text for text in fine)
    assert DirectionTest().lines() == []


@pytest.mark.parametrize("window", [1, 2])
def test_levels_are_errors_on_the_states_of_the_validation_loss(window: int) -> None:
    series = line()
    found = validation_levels(series, window, {"no change": no_change})["no change"]
    rows = validation_rows(series, window)
    assert rows.shape == ((4, 2) if window == 1 else (2, 3))
    steps = np.arange(1, GENES + 1) / 5  # a gene's change from bin to bin
    ahead = [1.0] if window == 1 else [1.0, 2.0]
    assert found == pytest.approx(np.mean([(k * steps) ** 2 for k in ahead]))


def test_the_course_of_cells_is_described_for_the_fit_that_is_kept() -> None:
    rng = np.random.default_rng(0)
    time = np.sort(rng.random(300))
    x = 2 + np.column_stack([np.sin((k + 1) * 2 * time) for k in range(6)]) + 0.2 * rng.normal(size=(300, 6))
    adata = AnnData(sp.csr_matrix(np.maximum(x, 0.01).astype(np.float32)))
    adata.obs["dpt_pseudotime"] = time
    scdash.tl.fit_dynamics(adata, progress=False, validation=scdash.Validation(null_models=False))
    entry = adata.uns["dynamics"]
    table = entry["directions"]
    assert list(table.columns) == ["start", "stop", "model", "no network", "other cells"] and len(table) == 5
    assert 0 <= entry["metrics"]["trajectory_covered"] <= 1.5
    assert "Direction of the velocity in each fifth" in entry["details"]
    assert len(entry["history"]) == entry["metrics"]["epochs"] > 0
