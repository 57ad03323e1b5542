"""The network of a fit of cells is its model, and pruning and the prior change it."""

import numpy as np
import pandas as pd
import pytest

import scdash
from scdash.dynamics.whole_trajectories.selection import clearly_better, sparsest_that_explains_as_much

from .data import PRIOR, cells_of, dependencies

KEYS = {"time_key": "time", "progress": False, "validation": scdash.Validation(null_models=False)}
SPARSITY = ("dash", "imp", "bio", "none")


@pytest.fixture(scope="module")
def fits():
    found = {}
    for name in SPARSITY:
        adata = cells_of(4)
        prior = PRIOR if name in ("dash", "bio") else None
        how = {"batch_key": "batch", "observations": scdash.Cells(n_bins=12)}
        scdash.tl.fit_dynamics(adata, sparsity=name, prior=prior, **how, **KEYS)
        found[name] = adata
    return found


@pytest.fixture(scope="module")
def single():
    adata = cells_of(1)
    scdash.tl.fit_dynamics(adata, regulators="is_tf", **KEYS)
    return adata


@pytest.mark.parametrize("name", SPARSITY)
def test_the_stored_network_is_what_the_stored_model_depends_on(fits, name):
    adata = fits[name]
    np.testing.assert_array_equal(dependencies(adata), adata.varp["dynamics_grn"].toarray() != 0)


def test_the_network_of_a_single_trajectory_is_its_model(single):
    np.testing.assert_array_equal(dependencies(single), single.varp["dynamics_grn"].toarray() != 0)
    sources = np.asarray((single.varp["dynamics_grn"] != 0).sum(axis=1)).ravel() > 0
    assert not sources[~single.var["is_tf"].to_numpy()].any()


@pytest.mark.parametrize("name", SPARSITY)
def test_a_knock_out_moves_the_targets_of_the_network_first(fits, name):
    adata = fits[name]
    network = pd.DataFrame(adata.varp["dynamics_grn"].toarray() != 0, adata.var_names, adata.var_names)
    gene = network.sum(axis=1).idxmax()
    soon = scdash.tl.perturb(adata, {gene: 0.0}, times=[0, 1e-3]).uns["change"].set_index("gene")["change"]
    moved = set(soon.index[soon.abs() > 1e-5]) - {gene}
    assert moved == set(network.columns[network.loc[gene]])


def test_the_stored_model_was_trained_and_the_report_says_by_what_it_was_evaluated(fits, single):
    for adata, evaluate in ((fits["none"], "left-out trajectories"), (single, "the other half of the cells")):
        params = adata.uns["dynamics"]["params"]
        assert params["judged_by"] == evaluate and params["chosen"]["epochs"] > 0
        assert f"error on {evaluate}" in scdash.get.report(adata).attrs["summary"]


def test_a_single_trajectory_is_pruned_to_the_level_that_its_halves_choose_and_that_level_is_stored(single):
    table = single.uns["dynamics"]["params"]["choices"]
    pruned, level = table[table["stage"] == "pruned"], int(single.uns["dynamics"]["params"]["chosen"]["level"])
    errors = pruned.filter(like="fold ").to_numpy(dtype=float)
    assert level == sparsest_that_explains_as_much(errors, pruned["edges"].to_numpy()) > 0
    assert single.uns["dynamics"]["params"]["sparsity"] == "regression and imp"
    dense = cells_of(1)
    scdash.tl.fit_dynamics(dense, regulators="is_tf", sparsity="none", **KEYS)
    assert single.varp["dynamics_grn"].nnz == pytest.approx(dense.varp["dynamics_grn"].nnz * 0.8**level, abs=level + 1)


def test_the_report_says_what_pruning_has_cost(single, fits):
    params = single.uns["dynamics"]["params"]
    pruned = params["choices"][params["choices"]["stage"] == "pruned"]
    level, errors = int(params["chosen"]["level"]), pruned["error"].to_numpy()
    fraction = pruned["edges"].iloc[level] / pruned["edges"].iloc[0]
    text = scdash.get.report(single).attrs["summary"]
    assert f"Pruning kept {fraction:.0%} of the edges of the start" in text
    assert f"error on the other half of the cells is {errors[level]:.3f} with them and {errors[0]:.3f} with all" in text
    assert "with all, and no sparser level explains 97.5% of what the best one does" in text
    trained = params["choices"][params["choices"]["stage"] == "trained after pruning"]
    further = int(params["chosen"]["epochs_after_pruning"])
    assert (f"; {further} further epochs lower it to {trained['error'].iloc[0]:.3f}." in text) == (further > 0)
    assert "Pruning kept" not in scdash.get.report(fits["none"]).attrs["summary"]


def test_a_pruned_model_is_trained_on_where_that_clearly_lowers_the_errors_of_the_folds(single, fits):
    found = []
    for adata in (single, *fits.values()):
        params = adata.uns["dynamics"]["params"]
        chosen, table = params["chosen"], params["choices"].set_index(["stage", "level"]).filter(like="fold ")
        if not chosen["level"]:
            assert chosen["epochs_after_pruning"] == 0 and "trained after pruning" not in table.index.get_level_values(
                0
            )
            continue
        trained, pruned = (
            table.loc[[(stage, chosen["level"])]].to_numpy(dtype=float)[0]
            for stage in ("trained after pruning", "pruned")
        )
        helps = clearly_better(trained, pruned)
        assert chosen["epochs_after_pruning"] == (chosen["epochs"] if helps else 0)
        history = adata.uns["dynamics"]["history"]
        rounds = 20 * chosen["level"]
        assert len(history[history["model"] == 0]) == chosen["epochs"] + rounds + chosen["epochs_after_pruning"]
        found.append(helps)
    assert any(found)


def test_pruning_changes_the_network_and_params_name_what_made_the_zeros(fits):
    edges = {name: adata.varp["dynamics_grn"].nnz for name, adata in fits.items()}
    levels = {name: int(adata.uns["dynamics"]["params"]["chosen"]["level"]) for name, adata in fits.items()}
    assert levels["none"] == 0 and fits["none"].uns["dynamics"]["params"]["sparsity"] == "regression"
    for name in ("imp", "bio", "dash"):
        params = fits[name].uns["dynamics"]["params"]
        pruned = levels[name] > 0
        assert params["sparsity"] == (
            {"bio": "regression and bio"}.get(name, "regression and imp") if pruned else "regression"
        )
        if pruned:
            assert edges[name] < edges["none"]
    assert max(levels.values()) > 0


def test_a_schedule_changes_the_network():
    found = []
    for first in (0.2, 0.6):
        adata = cells_of(4)
        plan = scdash.sparsity.GeometricSchedule(first=first, first_epoch=0, then=0.0, every=5)
        scdash.tl.fit_dynamics(
            adata,
            batch_key="batch",
            observations=scdash.Cells(n_bins=12),
            sparsity=scdash.sparsity.MagnitudePruning(schedule=plan),
            **KEYS,
        )
        table = adata.uns["dynamics"]["params"]["choices"]
        found.append(table.loc[table["stage"] == "pruned", "edges"].tolist())
    assert found[0][0] == found[1][0] and found[0][1] > found[1][1]


def test_settings_that_such_a_training_does_not_have_are_refused():
    with pytest.raises(ValueError, match="window.*whole trajectories"):
        scdash.tl.fit_dynamics(
            cells_of(4),
            batch_key="batch",
            observations=scdash.Cells(n_bins=12),
            training=scdash.Training(window=2),
            **KEYS,
        )


def test_a_bound_on_the_epochs_is_kept():
    adata = cells_of(4)
    scdash.tl.fit_dynamics(
        adata,
        sparsity="none",
        batch_key="batch",
        observations=scdash.Cells(n_bins=12),
        training=scdash.Training(max_epochs=5),
        **KEYS,
    )
    table = adata.uns["dynamics"]["params"]["choices"]
    assert sorted(table["epochs"].unique()) == [0, 5]


def test_cells_for_test_have_no_influence_on_the_model():
    found = []
    for factor in (1.0, 3.0):
        adata = cells_of(4)
        adata.obs["split"] = adata.obs["batch"].map({"b0": "train", "b1": "train", "b2": "validation", "b3": "test"})
        adata.X[(adata.obs["split"] == "test").to_numpy()] *= factor
        scdash.tl.fit_dynamics(
            adata, sparsity="imp", batch_key="batch", split_key="split", observations=scdash.Cells(n_bins=12), **KEYS
        )
        found.append(adata.varp["dynamics_grn"].toarray())
        assert adata.uns["dynamics"]["params"]["chosen"]["epochs"] > 0
    np.testing.assert_array_equal(*found)


def test_pruning_by_the_prior_alone_uses_it_at_any_weight_and_the_report_says_so(fits):
    params = fits["bio"].uns["dynamics"]["params"]
    text = scdash.get.report(fits["bio"]).attrs["summary"]
    assert ("Prior: used by pruning alone" in text) == (params["chosen"]["prior_weight"] == 1)
    assert "Prior: not used" not in text
