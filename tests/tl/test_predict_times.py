"""What `times=None` of a prediction means, and where on the time axis of a fit a predicted state stands."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scdash

from .conftest import HOW


@pytest.fixture(scope="module")
def cells():
    """Return two batches of 150 cells with a regression fit; pseudotime is a curved function of the rank."""
    rng = np.random.default_rng(0)
    place = np.tile((np.arange(150) + 0.5) / 150, 2)
    shape = np.column_stack([np.sin((k + 1) * np.pi * place) for k in range(4)])
    x = 2 + shape @ rng.normal(size=(4, 10)) + 0.1 * rng.normal(size=(300, 10))
    adata = AnnData(np.maximum(x, 0).astype(np.float32), var=pd.DataFrame(index=[f"g{i}" for i in range(10)]))
    adata.obs_names = [f"c{i}" for i in range(300)]
    adata.obs["dpt_pseudotime"], adata.obs["batch"] = place**3, np.repeat(["a", "b"], 150)
    adata.obs["split"] = np.repeat(["train", "validation"], 150)
    scdash.tl.fit_dynamics(
        adata,
        batch_key="batch",
        split_key="split",
        observations="cells",
        progress=False,
        training=scdash.Training(max_epochs=0),
        validation=scdash.Validation(null_models=False),
    )
    return adata


def test_without_times_predictions_go_from_the_first_fitted_state_to_the_last(cells):
    found = scdash.tl.predict(cells)
    for name in ("a", "b"):
        mine = found.obs[found.obs["trajectory"] == name]
        np.testing.assert_allclose(mine["time"], np.arange(20) * 0.5)
        np.testing.assert_allclose(mine["position"], 0.25 + np.arange(20) * 0.5)


def test_positions_of_predictions_and_of_cells_are_one_axis(cells):
    """The first predicted state is the smoothed mean of the cells around its position."""
    place = cells.obs["dynamics_position"]
    assert place.min() > 0 and place.max() < 10 and np.ptp(place) > 9.9
    found = scdash.tl.predict(cells)
    first = found[(found.obs["trajectory"] == "a") & (found.obs["time"] == 0)]
    near = (cells.obs["batch"] == "a") & (place - first.obs["position"].item()).abs().le(0.5)
    far = (cells.obs["batch"] == "a") & (place > 5)
    means = [np.asarray(cells[rows.to_numpy()].X).mean(0) for rows in (near, far)]
    near_by, far_off = (np.abs(first.X[0] - mean).mean() for mean in means)
    assert near_by < far_off / 2


def test_a_cell_starts_at_its_own_position(cells):
    start = ["c40", "c190"]
    placed = cells.obs.loc[start, "dynamics_position"].to_numpy()
    for given in (start, cells.obs_names.isin(start), cells[start].copy()):
        found = scdash.tl.predict(cells, given, times=[1.0, 2.0])
        np.testing.assert_allclose(found.obs["position"], np.add.outer(placed, [1.0, 2.0]).ravel())
        assert found.obs["time"].tolist() == [1.0, 2.0, 1.0, 2.0]
    knocked = scdash.tl.perturb(cells, {"g0": 0.0}, start=start, times=[1.0, 2.0])
    np.testing.assert_allclose(knocked.obs["position"], np.tile(np.add.outer(placed, [1.0, 2.0]).ravel(), 2))
    states = pd.DataFrame(np.asarray(cells[start].X), columns=cells.var_names)
    assert scdash.tl.predict(cells, states, times=[1.0]).obs["position"].isna().all()
    assert scdash.tl.predict(cells, states.to_numpy(), times=[1.0]).obs["position"].isna().all()
    other = cells[start].copy()
    del other.obs["dynamics_position"]  # pseudotime is no model time
    assert scdash.tl.predict(cells, other, times=[1.0]).obs["position"].isna().all()


def test_times_of_a_course_count_from_the_start_of_each_trajectory(course):
    """Half of the trajectories begin 5 later: all are predicted at the same times since their starts."""
    adata = course.copy()
    late = adata.obs["trajectory"].astype(str).isin(sorted(set(adata.obs["trajectory"].astype(str)))[::2])
    own = np.unique(adata.obs["time"])
    adata.obs["time"] = adata.obs["time"] + 5.0 * late
    scdash.tl.fit_dynamics(adata, prior=adata.uns["prior"], training=scdash.Training(max_epochs=0), **HOW)
    found = scdash.tl.predict(adata)
    np.testing.assert_allclose(np.unique(found.obs["time"]), own - own[0])
    begun = found.obs[found.obs["time"] == 0].set_index("trajectory")["position"]
    assert set(begun) == {own[0], own[0] + 5.0}
    one = adata.obs_names[7]
    placed = scdash.tl.predict(adata, [one], times=[0.0, 2.0]).obs["position"]
    np.testing.assert_allclose(placed, adata.obs.loc[one, "time"] + np.array([0.0, 2.0]))
