"""A pseudotime of rounded values is a pseudotime; sampled times stay sampled times."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scdash
from scdash._data import Placed, as_expression, finer_than_cells
from scdash.dynamics.inputs import read_inputs

GENES = 12
KEYS = {
    "layer": None, "mask_var": None, "trajectory_key": None, "batch_key": None, "split_key": None, "prior": None,
    "coregulation": None, "regulators": None, "n_bins": None, "seed": 0,
}  # fmt: skip


def cells_at(times: int, each: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return expression and time of cells that follow smooth waves."""
    rng = np.random.default_rng(3)
    time = np.repeat(np.arange(times) / times, each)
    waves = 1 + np.sin(2 * np.pi * (time[:, None] + np.arange(GENES) / GENES))
    return np.maximum(waves + noise * rng.normal(size=waves.shape), 0.0), time


def finer(times: int, each: int, noise: float, most: int = 20) -> bool:
    x, time = cells_at(times, each, noise)
    return finer_than_cells(as_expression(x), time, Placed.of(time), most, np.random.default_rng(0))


def test_many_values_of_few_noisy_cells_are_finer_than_the_cells() -> None:
    assert finer(100, 20, 1.0)


def test_values_whose_cells_tell_them_apart_are_sampled_times() -> None:
    assert not finer(25, 200, 0.05)


@pytest.mark.parametrize(("most", "expected"), [(30, False), (29, True)])
def test_few_values_are_sampled_times_whatever_the_noise(most: int, expected: bool) -> None:
    assert finer(30, 12, 2.0, most) is expected


def test_cells_without_a_trajectory_take_no_part() -> None:
    x, time = cells_at(100, 20, 1.0)
    values = as_expression(np.vstack([x, 50 * np.ones((400, GENES))]))
    leave_out = np.arange(len(time) + 400) >= len(time)
    # 400 other cells that would make neighbouring values unlike
    every = np.concatenate([time, time[:400]])
    placed = Placed.of(every, leave_out=leave_out)
    assert finer_than_cells(values, every, placed, 20, np.random.default_rng(0))


def test_cells_without_a_trajectory_may_lie_between_the_others() -> None:
    x, time = cells_at(25, 200, 0.05)
    order = np.random.default_rng(1).permutation(len(time) + 400)
    values = as_expression(np.vstack([x, 50 * np.ones((400, GENES))])[order])
    every = np.concatenate([time, time[:400]])[order]
    placed = Placed.of(every, leave_out=order >= len(time))
    assert not finer_than_cells(values, every, placed, 20, np.random.default_rng(0))


def test_a_time_takes_no_part_in_what_the_times_around_predict() -> None:
    time = np.repeat(np.arange(40.0), 20)
    # levels of 0 and 1 in turn: an error of 1 by the times around, about 0.5 by the other half of the cells, 0.25 with the time itself
    x = 10 + time[:, None] % 2 + np.sqrt(2.5) * np.random.default_rng(0).normal(size=(len(time), GENES))
    assert not finer_than_cells(as_expression(x), time, Placed.of(time), 20, np.random.default_rng(0))


def test_the_times_around_are_of_the_same_trajectory() -> None:
    time, lineage = np.tile(np.repeat(np.arange(3.0), 20), 2), np.repeat(["a", "b"], 60)
    x = 10.0 * (lineage == "b")[:, None] + np.random.default_rng(0).normal(size=(120, GENES))
    assert finer_than_cells(as_expression(x), time, Placed.of(time, lineage), 2, np.random.default_rng(0))


def rounded() -> AnnData:
    x, time = cells_at(100, 20, 1.0)
    adata = AnnData(x, obs=pd.DataFrame({"t": time}, index=[f"c{i}" for i in range(len(time))]))
    adata.obs["unit"] = [f"{value:.2f} h" for value in time]
    return adata


def states_of(adata: AnnData, **changed: object) -> int:
    inputs = read_inputs(adata, **(KEYS | {"time_key": "t", "observations": "auto"} | changed))  # type: ignore[arg-type]
    used = inputs.observed.series.trajectory == inputs.observed.series.trajectory[0]
    return int(used.sum())


def test_a_rounded_pseudotime_is_smoothed_into_bins(caplog: pytest.LogCaptureFixture) -> None:
    scdash.settings.verbosity = 2
    assert states_of(rounded()) == 20
    assert "taken as a pseudotime" in caplog.text


@pytest.mark.parametrize("changed", [{"couplings": "none"}, {"time_key": "unit"}])
def test_what_says_that_times_are_sampled_is_believed(changed: dict[str, str]) -> None:
    assert states_of(rounded(), **changed) == 100


def test_a_number_of_bins_is_how_many_values_are_few() -> None:
    with pytest.raises(ValueError, match="n_bins"):
        states_of(rounded(), n_bins=100)
    assert states_of(rounded(), n_bins=15) == 15
