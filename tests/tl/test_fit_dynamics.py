"""What `fit_dynamics` writes, and that it is the same after writing, reading and subsetting."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

import scdash
from scdash.sparsity import GeometricSchedule

from .conftest import HOW

WEIGHTS = {"W_sums": (5, 16), "W_prods": (5, 16), "b_sums": (5,), "b_prods": (5,), "U_sums": (16, 5), "v": (16,)}


def states(adata, n=5):
    return torch.as_tensor(np.asarray(adata.X[:n], dtype=np.float32))


@pytest.mark.parametrize("which", ["fitted", "modules"])
@pytest.mark.parametrize("way", ["h5ad", "zarr"])
def test_a_fit_survives_writing_and_reading(which, way, request, tmp_path):
    adata = request.getfixturevalue(which)
    path = tmp_path / f"fit.{way}"
    if way == "h5ad":
        adata.write_h5ad(path)
        again = anndata.read_h5ad(path)
    else:
        adata.write_zarr(path)
        again = anndata.read_zarr(path)
    x = states(adata)
    assert torch.equal(scdash.get.model(adata)(0.0, x), scdash.get.model(again)(0.0, x))
    pd.testing.assert_frame_equal(scdash.get.grn(adata), scdash.get.grn(again), check_dtype=False)
    pd.testing.assert_frame_equal(scdash.get.history(adata), scdash.get.history(again), check_dtype=False)
    assert (adata.varp["dynamics_grn"] != again.varp["dynamics_grn"]).nnz == 0
    np.testing.assert_array_equal(scdash.tl.predict(adata).X, scdash.tl.predict(again).X)
    assert scdash.get.report(again).attrs["summary"] == scdash.get.report(adata).attrs["summary"]


def test_subsetting_genes_and_cells_keeps_the_model(fitted):
    part = fitted[:7, ["g03", "g01"]].copy()
    x = states(fitted)
    assert torch.equal(scdash.get.model(part)(0.0, x), scdash.get.model(fitted)(0.0, x))
    np.testing.assert_array_equal(scdash.tl.predict(part).X, scdash.tl.predict(fitted).X)


def test_slots(modules):
    entry = modules.uns["dynamics"]
    for name, shape in WEIGHTS.items():
        assert entry["weights"][name].shape == shape
    assert entry["masks"]["W_sums"].shape == (5, 16)
    assert list(entry["genes"]) == list(modules.var_names)
    grn = modules.varp["dynamics_grn"]
    assert isinstance(grn, (sp.csr_matrix, sp.csr_array)) and grn.dtype == np.float32 and grn.shape == (16, 16)
    for name in (
        "train_mse",
        "validation_mse",
        "test_mse",
        "constant_mse",
        "no_change_mse",
        "sparsity",
        "epochs",
        "seconds",
    ):
        assert np.isfinite(entry["metrics"][name])
    assert modules.var["dynamics_genes"].all() and modules.layers["dynamics_velocity"].shape == modules.shape


def test_row_regulates_column(modules):
    """varp is the transpose of the papers' D, scaled by the targets' rates; written out from the stored weights."""
    w = {k: v.toarray() if sp.issparse(v) else v for k, v in modules.uns["dynamics"]["weights"].items()}
    effects = np.maximum(w["v"], 0)[:, None] * (w["U_sums"] @ w["W_sums"] + w["U_prods"] @ w["W_prods"])
    np.testing.assert_allclose(modules.varp["dynamics_grn"].toarray(), effects.T, atol=1e-6)
    edge = scdash.get.grn(modules, only_network=True).iloc[0]
    at = modules.var_names.get_loc(edge["source"]), modules.var_names.get_loc(edge["target"])
    assert modules.varp["dynamics_grn"][at] == pytest.approx(edge["weight"], rel=1e-5)


def test_velocity_is_the_model(fitted):
    model = scdash.get.model(fitted)
    with torch.no_grad():
        found = model(0.0, states(fitted, fitted.n_obs)).numpy()
    np.testing.assert_allclose(fitted.layers["dynamics_velocity"], found, rtol=1e-5, atol=1e-6)


def test_the_same_seed_gives_the_same_bits(course, modules):
    again = course.copy()
    how = {
        "start": "random",
        "n_models": 3,
        "model": scdash.models.Phoenix(encoder="modules", n_hidden=5),
        "sparsity": scdash.sparsity.DASH(scale="paper"),
        "training": scdash.Training(max_epochs=6),
    }
    scdash.tl.fit_dynamics(again, prior=again.uns["prior"], **how, **HOW)
    for name, value in modules.uns["dynamics"]["weights"].items():
        other = again.uns["dynamics"]["weights"][name]
        if sp.issparse(value):
            assert (value != other).nnz == 0
        else:
            np.testing.assert_array_equal(value, other)


def test_relabelling_genes_relabels_the_result(course):
    order = np.random.default_rng(0).permutation(course.n_vars)
    shuffled = course[:, order].copy()
    plain = course.copy()
    for adata in (plain, shuffled):
        scdash.tl.fit_dynamics(adata, prior=course.uns["prior"], training=scdash.Training(max_epochs=0), **HOW)
    a = plain.varp["dynamics_grn"].toarray()[np.ix_(order, order)]
    np.testing.assert_allclose(shuffled.varp["dynamics_grn"].toarray(), a, atol=1e-4)


def test_every_error_stands_beside_the_trivial_ones(fitted):
    report = scdash.get.report(fitted)
    assert report["predictor"].iloc[0] == "phoenix"
    assert {"no network", "constant", "no change"} <= set(report["predictor"])
    x = fitted[fitted.obs["split"] == "train"].X
    test = fitted[(fitted.obs["split"] == "test") & (fitted.obs["time"] > 0)].X
    constant = report.set_index("predictor").loc["constant", "test_mse"]
    assert constant == pytest.approx(((test - x.mean(0)) ** 2).mean(), rel=1e-4)
    assert "Prediction of the next step on test states" in report.attrs["summary"]


def test_a_model_that_is_no_better_than_a_constant_is_called_so(course):
    """Shuffling states between trajectories leaves nothing to learn."""
    noise = course.copy()
    noise.X = np.random.default_rng(0).random(noise.shape).astype(np.float32)
    scdash.tl.fit_dynamics(noise, prior=noise.uns["prior"], training=scdash.Training(max_epochs=2), **HOW)
    errors = scdash.get.report(noise).set_index("predictor")["test_mse"]
    summary = scdash.get.report(noise).attrs["summary"]
    assert (errors["phoenix"] >= errors["constant"]) == ("no better than 'constant'" in summary)
    assert (errors["phoenix"] >= errors["no network"]) <= ("no better than 'no network'" in summary)
    assert "No single edge was tested" in summary


def test_copy_leaves_the_input_alone(course):
    before = course.copy()
    result = scdash.tl.fit_dynamics(course, copy=True, key_added="other", training=scdash.Training(max_epochs=0), **HOW)
    assert "other" in result.uns and "other_grn" in result.varp
    assert set(course.uns) == set(before.uns) and not list(course.layers.keys() - before.layers.keys())


def test_replicates_hide_parts_of_the_prior_and_show_stability(modules):
    edges = scdash.get.grn(modules)
    frequency = edges["selection_frequency"].dropna()
    assert set(np.round(frequency * 3).astype(int)) <= {0, 1, 2, 3} and frequency.max() > 0
    first, second = (scdash.get.model(modules, replicate=i) for i in (1, 2))
    x = states(modules)
    assert not torch.equal(first(0.0, x), second(0.0, x))
    with pytest.raises(ValueError, match="Unknown replicate '3'"):
        scdash.get.model(modules, replicate=3)


@pytest.mark.parametrize("sparsity", ["imp", "bio", "none", "dash"])
def test_pruning_strategies_reach_the_schedule(course, sparsity):
    adata = course.copy()
    plan = GeometricSchedule(first=0.5, first_epoch=1, then=0)
    method = "none" if sparsity == "none" else scdash.sparsity.METHODS[sparsity](schedule=plan)
    scdash.tl.fit_dynamics(
        adata,
        prior=adata.uns["prior"],
        sparsity=method,
        start="random",
        training=scdash.Training(max_epochs=3),
        **HOW,
    )
    kept = adata.uns["dynamics"]["masks"]["U_sums"]
    expected = 16 * 15 if sparsity == "none" else 16 * 15 - round(0.5 * 16 * 15)
    assert np.count_nonzero(kept.toarray() if sp.issparse(kept) else kept) == expected


def test_posthoc_chooses_by_one_standard_error(course):
    adata = course.copy()
    scdash.tl.fit_dynamics(
        adata,
        start="random",
        sparsity=scdash.sparsity.TrainPruneFinetune(levels=(0.5, 0.9), repeats=2),
        training=scdash.Training(max_epochs=3),
        **HOW,
    )
    levels = adata.uns["dynamics"]["params"]["levels"]
    assert len(levels) == 4 and set(levels["level"]) == {0.5, 0.9}
    best = levels.groupby("level")["validation_mse"].agg(["mean", "sem"])
    low = best["mean"].idxmin()
    chosen = best.index[best["mean"] <= best.loc[low, "mean"] + best.loc[low, "sem"]].max()
    sparsity = adata.uns["dynamics"]["metrics"]["sparsity"]
    assert sparsity == pytest.approx(chosen, abs=0.05)


def test_regulators_are_the_only_sources(course):
    adata = course.copy()
    allowed = ["g00", "g01", "g02"]
    for start in ("regression", "random"):
        scdash.tl.fit_dynamics(adata, regulators=allowed, start=start, training=scdash.Training(max_epochs=6), **HOW)
        assert set(scdash.get.grn(adata)["source"]) <= set(allowed)


def test_cross_validation_chooses_the_lowest_mean(course):
    table = scdash.tl.cross_validate(
        course,
        prior=course.uns["prior"],
        grid=[0.1, 0.9],
        n_folds=3,
        start="random",
        training=scdash.Training(max_epochs=6),
        **HOW,
    )
    assert table["l1"].tolist() == [0.1, 0.9] and table["chosen"].sum() == 1
    folds = table[["fold0", "fold1", "fold2"]].to_numpy()
    np.testing.assert_allclose(table["mean"], folds.mean(1))
    np.testing.assert_allclose(table["se"], folds.std(1, ddof=1) / np.sqrt(3))
    assert table["mean"].idxmin() == table.index[table["chosen"]][0]
    assert table["finished"].all() and (table["epochs"] == 6).all()
    with pytest.raises(ValueError, match="nothing to choose without a prior"):
        scdash.tl.cross_validate(course, prior=None, start="random", **HOW)


def test_of_many_predictors_the_report_names_the_best():
    import pandas as pd

    from scdash.dynamics.state_pairs.report import _listed

    errors = pd.Series(
        {
            "phoenix": 0.1,
            "no change": 0.3,
            "mean trajectory": 0.25,
            "nearest neighbours": 0.2,
            "aligned mean trajectory": np.nan,
        }
    )
    assert (
        _listed(errors)
        == "phoenix 0.1, no change 0.3, the best of 2 predictions without a network (nearest neighbours) 0.2"
    )
    assert _listed(errors[:2]) == "phoenix 0.1, no change 0.3"
