"""Batches are aligned in time by expression where their ranks mean different stages, and left alone where they do not."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import scdash
from scdash._data import cells_to_series, halve_cells, halves_to_learn_from
from scdash._data.batch_alignment import SAME, BatchSums, Clock, align_batches, aligned_clocks, warp
from scdash._data.expression_matrix import as_expression
from scdash._data.interval_means import interval_sums
from scdash._data.time_series.placed import Placed

GENES = 30
SHAPES = {
    "a": (1.0, 1.0),
    "b": (0.6, 1.8),
    "c": (1.8, 0.6),
}  # of the beta distribution of the stages of a batch's cells


def stages_to_cells(stage, rng, noise=0.2, shift=None):
    """Return log expression of cells at some stages of a trajectory that all batches share."""
    phase = np.linspace(0, 2, GENES)
    means = 2 + np.tanh(4 * (stage[:, None] - phase[None] / 2)) + 0.5 * np.sin(3 * stage[:, None] + phase[None])
    return np.maximum(means + noise * rng.normal(size=means.shape) + (0 if shift is None else shift), 0)


def batches(seed=0, cells=300, shapes=SHAPES, power=True):
    """Return cells of batches with different numbers of cells at every stage; pseudotime is a power of the stage."""
    rng = np.random.default_rng(seed)
    stage = np.concatenate([rng.beta(*shape, size=cells) for shape in shapes.values()])
    batch = np.repeat(list(shapes), cells)
    exponent = {name: 0.5 + k for k, name in enumerate(shapes)}
    time = np.array([s ** (exponent[b] if power else 1.0) for s, b in zip(stage, batch, strict=True)])
    return stages_to_cells(stage, rng), stage, batch, time


def ranks(time, batch):
    return (pd.Series(time).groupby(batch).rank() - 0.5).to_numpy() / pd.Series(time).groupby(batch).transform("size")


def spread_of_stages(position, stage, batch):
    """Return the standard deviation between batches of the stage at equal places, mean over places."""
    grid = np.linspace(0.05, 0.95, 19)
    found = []
    for name in np.unique(batch):
        own = np.flatnonzero(batch == name)
        order = own[np.argsort(position[own])]
        found.append(np.interp(grid, position[order], stage[order]))
    return float(np.std(found, axis=0).mean())


def placed(time, batch):
    return Placed.of(time, None, batch, None)


def aligned(values, time, batch, align="auto", learned=None):
    where = placed(time, batch)
    number = len(where.groups)
    learned = np.ones(number, bool) if learned is None else learned
    rng = np.random.default_rng(0)
    return align_batches(as_expression(values), where, ["all"] * number, learned, np.asarray(time), rng, align)


def test_batches_with_other_numbers_of_cells_at_every_stage_get_the_same_places_at_the_same_stage():
    values, stage, batch, time = batches()
    found = aligned(values, time, batch)
    assert found.table["aligned"].tolist() == [True]
    assert found.table["error"].item() < 0.3 * found.table["error_of_ranks"].item()
    before, after = (spread_of_stages(place, stage, batch) for place in (ranks(time, batch).to_numpy(), found.position))
    assert after < 0.25 * before
    for name in SHAPES:  # the order of the cells of a batch is that of their pseudotime
        own = np.flatnonzero(batch == name)
        assert (np.diff(found.position[own[np.argsort(time[own])]]) >= 0).all()


def test_batches_that_agree_keep_their_ranks_exactly():
    values, _, batch, time = batches(shapes=dict.fromkeys("abc", (1.0, 1.0)), power=False)
    found = aligned(values, time, batch)
    assert found.table.empty
    np.testing.assert_array_equal(found.position, placed(time, batch).position)
    asked = aligned(values, time, batch, "expression")
    assert asked.table["aligned"].all()
    assert np.abs(asked.position - found.position).max() < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_batches_without_a_common_trajectory_keep_their_ranks(seed):
    rng = np.random.default_rng(seed)
    batch = np.repeat(list("abc"), 100)
    time = rng.random(300) ** np.repeat([0.5, 1, 2], 100)
    found = aligned(2 + rng.normal(size=(300, GENES)), time, batch)
    assert len(found.table) == 1
    assert not found.table["aligned"].any()


def test_times_that_are_the_same_at_equal_ranks_are_taken_as_they_are():
    rng = np.random.default_rng(1)
    batch, time = np.repeat(list("ab"), 200), np.tile(rng.random(200), 2)
    late = np.where(batch == "b", time**3, time)  # the second batch really is slower at first
    values = stages_to_cells(late, rng)
    assert aligned(values, time, batch).table.empty
    assert aligned(values, np.where(batch == "b", time**3, time), batch).table["aligned"].all()


def test_a_batch_for_test_is_aligned_to_the_others_and_moves_none_of_them():
    values, stage, batch, time = batches()
    learned = np.array([True, True, False])
    first = aligned(values, time, batch, learned=learned)
    other = values.copy()
    other[batch == "c"] = np.random.default_rng(3).permutation(other[batch == "c"])
    second = aligned(other, time, batch, learned=learned)
    kept = batch != "c"
    np.testing.assert_array_equal(first.position[kept], second.position[kept])
    pd.testing.assert_frame_equal(first.table, second.table)
    assert spread_of_stages(first.position, stage, batch) < 0.5 * spread_of_stages(
        ranks(time, batch).to_numpy(), stage, batch
    )


def test_one_batch_or_one_gene_has_nothing_to_align():
    values, _, batch, time = batches()
    one = batch == "a"
    for given in ((values[one], time[one], batch[one]), (values[:, :1], time, batch)):
        found = aligned(*given)
        assert found.table.empty
        np.testing.assert_array_equal(found.position, placed(*given[1:]).position)
        with pytest.raises(ValueError, match="at least two batches"):
            aligned(*given, align="expression")


def test_lineages_are_aligned_each_on_its_own():
    values, _, batch, time = batches()
    twice = np.concatenate([values, values[::-1] * 0 + np.random.default_rng(0).normal(2, 1, values.shape)])
    lineage = np.repeat(["first", "second"], len(values))
    where = Placed.of(np.tile(time, 2), lineage, np.tile(batch, 2), None)
    names = ["first"] * 3 + ["second"] * 3
    found = align_batches(
        as_expression(twice), where, names, np.ones(6, bool), np.tile(time, 2), np.random.default_rng(0)
    )
    assert dict(zip(found.table["lineage"], found.table["aligned"], strict=True)) == {"first": True, "second": False}
    np.testing.assert_array_equal(found.position[: len(values)], aligned(values, time, batch).position)
    np.testing.assert_array_equal(found.position[len(values) :], where.position[len(values) :])


def test_the_mean_rank_at_a_place_of_the_common_axis_is_that_place():
    values, _, batch, time = batches()
    sums, cells = (found[:, 0] for found in interval_sums(as_expression(values), placed(time, batch), 100))
    clocks = aligned_clocks(BatchSums(sums, cells), 0.3)
    axis = np.linspace(0, 1, 21)
    np.testing.assert_allclose(np.mean([clock.ranks_at(axis) for clock in clocks], axis=0), axis, atol=0.02)
    for clock in clocks:
        assert (np.diff(clock.places) > 0).all()
        assert (clock.places[0], clock.places[-1]) == pytest.approx((0, 1), abs=1e-9)


def test_two_batches_meet_instead_of_changing_places():
    values, stage, batch, time = batches(shapes={"b": (0.6, 1.8), "c": (1.8, 0.6)})
    found = aligned(values, time, batch, "expression")
    assert spread_of_stages(found.position, stage, batch) < 0.3 * spread_of_stages(
        ranks(time, batch).to_numpy(), stage, batch
    )


def test_a_stiff_warp_changes_nothing_and_a_soft_one_finds_the_places():
    axis = (np.arange(80) + 0.5) / 80
    curve = np.column_stack([axis, np.sin(3 * axis), np.cos(5 * axis)])
    true = Clock(np.linspace(0, 1, 11), np.linspace(0, 1, 11) ** 1.5)
    ranks_of_stages = (np.arange(20) + 0.5) / 20
    places = true.places_of(ranks_of_stages)
    stages = np.column_stack([np.interp(places, axis, gene) for gene in curve.T])
    soft = warp(stages, curve, 1e-6)
    np.testing.assert_allclose(soft.places_of(ranks_of_stages), places, atol=0.02)
    stiff = warp(stages, curve, 1e6)
    np.testing.assert_allclose(stiff.places_of(ranks_of_stages), SAME.places_of(ranks_of_stages), atol=0.06)


def test_trajectories_of_bins_take_the_aligned_places():
    values, _, batch, time = batches()
    genes = [f"g{k}" for k in range(GENES)]
    made = {
        align: cells_to_series(values, genes, time, batch=batch, hold_out=None, align=align)
        for align in ("auto", "rank")
    }
    np.testing.assert_array_equal(made["rank"].position, ranks(time, batch).to_numpy())
    np.testing.assert_array_equal(made["auto"].position, aligned(values, time, batch).position)
    between = {}
    for name, one in made.items():
        states = one.log_means.reshape(3, 20, GENES)
        between[name] = float(states.std(axis=0).mean())
    assert between["auto"] < 0.5 * between["rank"]


@pytest.fixture(scope="module")
def cells():
    values, stage, batch, time = batches()
    adata = AnnData(values.astype(np.float32), obs=pd.DataFrame({"batch": batch, "time": time, "stage": stage}))
    adata.obs_names = [f"c{k}" for k in range(len(batch))]
    adata.var_names = [f"g{k}" for k in range(GENES)]
    return adata


@pytest.fixture(scope="module")
def fits(cells):
    found = {}
    for align in ("auto", "rank"):
        adata = cells.copy()
        scdash.tl.fit_dynamics(
            adata,
            time_key="time",
            batch_key="batch",
            observations=scdash.Cells(align=align),
            validation=scdash.Validation(null_models=False),
            training=scdash.Training(max_epochs=5),
            progress=False,
        )
        found[align] = adata
    return found


def test_a_fit_says_that_batches_are_aligned_and_stores_their_places(fits):
    table = fits["auto"].uns["dynamics"]["params"]["alignment"]
    assert table["aligned"].all()
    assert "alignment" not in fits["rank"].uns["dynamics"]["params"]
    text = {name: scdash.get.report(adata).attrs["summary"] for name, adata in fits.items()}
    assert "are aligned in time by expression" in text["auto"]
    assert "aligned in time" not in text["rank"]
    for name, adata in fits.items():
        stage, batch = adata.obs["stage"].to_numpy(), adata.obs["batch"].to_numpy()
        place = adata.obs["dynamics_position"].to_numpy() / 10
        assert (spread_of_stages(place, stage, batch) < 0.05) == (name == "auto")


def test_left_out_batches_are_predicted_better_where_ranks_mean_different_stages(fits):
    errors = {
        name: float(scdash.get.report(adata).set_index("predictor")["error"]["model"]) for name, adata in fits.items()
    }
    assert errors["auto"] < 0.5 * errors["rank"]


def placed_of_calls(monkeypatch, *names):
    """Let the functions of some names note where the cells lay that they were given: lists by name, filled by calls."""
    from scdash._data.time_series import observed

    seen = {}
    for name in names:
        made = getattr(observed, name)

        def spy(*given, made=made, name=name, **named):
            seen.setdefault(name, []).append(given[1])
            return made(*given, **named)

        monkeypatch.setattr(observed, name, spy)
    return seen


def test_halves_and_kernel_means_have_the_places_of_the_bins(cells, monkeypatch):
    seen = placed_of_calls(monkeypatch, "halve_cells", "halves_to_learn_from", "kernel_means")
    adata = cells.copy()
    adata.obs["lineage"] = np.where(adata.obs["batch"] == "c", "alone", "together")
    scdash.tl.fit_dynamics(
        adata,
        time_key="time",
        trajectory_key="lineage",
        batch_key="batch",
        validation=scdash.Validation(null_models=False),
        training=scdash.Training(max_epochs=1),
        progress=False,
    )
    place = adata.obs["dynamics_position"].to_numpy() / 10
    assert set(seen) == {"halve_cells", "halves_to_learn_from", "kernel_means"}
    for calls in seen.values():
        for placed in calls:
            np.testing.assert_allclose(placed.position, place, atol=1e-12)
    assert np.abs(place - ranks(adata.obs["time"].to_numpy(), adata.obs["batch"].to_numpy()).to_numpy()).max() > 0.05


def test_halves_of_cells_take_the_places_they_are_given():
    values, _, batch, time = batches()
    place = ranks(time, batch).to_numpy()
    expression = as_expression(values)

    def made(position):
        placed = Placed.of(time, batch=batch, position=position)
        whole = halve_cells(expression, placed, rng=0)
        learned = halves_to_learn_from(expression, placed, n_bootstrap=0, rng=0)
        return whole.quarters, learned[0].states

    for plain, same, other in zip(made(None), made(place), made(place**3), strict=True):
        np.testing.assert_array_equal(plain, same)
        assert np.abs(plain - other).max() > 0.3


def test_an_alignment_without_an_effect_is_refused(cells):
    def fit(adata, align, **keys):
        scdash.tl.fit_dynamics(adata, observations=scdash.Cells(align=align), progress=False, **keys)

    with pytest.raises(ValueError, match="batch_key"):
        fit(cells.copy(), "expression", time_key="time")
    with pytest.raises(ValueError, match="Unknown align"):
        scdash.Cells(align="ranks")
    sampled = cells.copy()
    sampled.obs["hours"] = np.repeat([0, 1, 2, 3, 4, 5], 150)
    with pytest.raises(ValueError, match="sampled times"):
        fit(sampled, "rank", time_key="hours")


def test_cells_for_test_are_in_no_half_of_the_cells(cells, monkeypatch):
    seen = placed_of_calls(monkeypatch, "halve_cells", "halves_to_learn_from")
    adata = cells.copy()
    adata.obs["split"] = np.where(adata.obs["batch"] == "c", "test", "train")
    scdash.tl.fit_dynamics(
        adata,
        time_key="time",
        batch_key="batch",
        split_key="split",
        validation=scdash.Validation(null_models=False),
        training=scdash.Training(max_epochs=1),
        progress=False,
    )
    for placed in (one for calls in seen.values() for one in calls):
        np.testing.assert_array_equal(placed.code < 0, adata.obs["split"] == "test")
    assert seen
