"""Batches of a screen are centred on their own control cells, and are its replicates."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash
from scdash._data import dense32, loaded
from scdash.models import PerturbODE, Transport
from scdash.screens.equilibrium.subsamples import bootstrap_rows
from scdash.screens.inputs import ScreenRequest, read_screen
from scdash.screens.statistics import assign_folds, perturbation_statistics


def in_batches(adata, sd=0.3, n=3, seed=0):
    """Return cells dealt into batches, and the same cells with a shift of every gene in every batch."""
    rng = np.random.default_rng(seed)
    plain, moved = adata.copy(), adata.copy()
    batch = rng.integers(n, size=adata.n_obs)
    plain.obs["batch"] = moved.obs["batch"] = pd.Categorical([f"b{i}" for i in batch])
    moved.X = np.asarray(adata.X) + rng.normal(0, sd, (n, adata.n_vars))[batch].astype(adata.X.dtype)
    return plain, moved


@pytest.fixture(scope="module")
def unmoved():
    adata = scdash.simulate.sergio(
        genes=25, n_edges=40, n_perturbations=20, n_targets=1, cells_per_perturbation=90, half_response="mid", rng=2
    )
    adata.X = np.log1p(adata.X)
    return adata


@pytest.fixture(scope="module")
def batched(unmoved):
    return in_batches(unmoved)


def test_a_shift_of_batches_changes_nothing_in_the_network(batched):
    plain, moved = (scdash.tl.fit_perturbode(a, batch_key="batch", copy=True) for a in batched)
    for slot in ("grn", "total_effect"):
        first, second = (a.varp[f"dynamics_{slot}"].toarray() for a in (plain, moved))
        np.testing.assert_allclose(second, first, rtol=1e-3, atol=1e-4)
    one, other = (a.uns["dynamics"]["screen"] for a in (plain, moved))
    np.testing.assert_allclose(other["change"], one["change"], atol=1e-5)
    np.testing.assert_allclose(other["within_sd"], one["within_sd"], atol=1e-5)


def test_auprc_with_batch_key_is_that_without_a_shift(unmoved, batched):
    fits = {
        "none": scdash.tl.fit_perturbode(unmoved, copy=True),
        "centred": scdash.tl.fit_perturbode(batched[1], batch_key="batch", copy=True),
        "ignored": scdash.tl.fit_perturbode(batched[1], copy=True),
    }
    found = {name: float(scdash.metrics.auprc(fit, "truth")) for name, fit in fits.items()}
    # 30 control cells a batch are noisy; on 10,000 cells of 100 genes the two are within 0.01
    assert found["centred"] == pytest.approx(found["none"], abs=0.03)
    assert found["ignored"] < found["none"] - 0.05


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_statistics_are_those_of_cells_centred_by_hand(batched, form):
    adata = batched[1].copy()
    x = np.asarray(adata.X, dtype=np.float32)  # as it is stored, and as training would use it without a copy
    control = (adata.obs["perturbation"] == "control").to_numpy()
    by_hand = x.copy()
    for batch in ("b0", "b1", "b2"):
        own = (adata.obs["batch"] == batch).to_numpy()
        by_hand[own] += x[control].mean(axis=0) - x[own & control].mean(axis=0)
    adata.X = form(x)
    inputs = read_screen(adata, ScreenRequest(batch_key="batch"))
    found = perturbation_statistics(
        inputs.cells, inputs.screen, assign_folds(inputs.screen, 5, np.random.default_rng(0))
    )
    np.testing.assert_allclose(found.centre, x[control].mean(axis=0), atol=1e-5)
    for r in range(inputs.screen.n_perturbations):
        rows = inputs.screen.cells == r
        np.testing.assert_allclose(found.y[r], by_hand[rows].mean(axis=0) - x[control].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(dense32(inputs.values), by_hand, atol=1e-5)
    np.testing.assert_allclose(loaded(inputs.values)[np.array([5, 2, 2])], by_hand[[5, 2, 2]], atol=1e-5)
    np.testing.assert_allclose(loaded(inputs.values, most=0)[np.array([5, 2, 2])], by_hand[[5, 2, 2]], atol=1e-5)


def test_replicates_are_pairs_of_a_perturbation_and_a_batch(batched):
    screen = read_screen(batched[1], ScreenRequest(batch_key="batch", model=PerturbODE(hold_out=["G003"]))).screen
    assert len(screen.replicate_perturbations) == 3 * screen.n_perturbations
    assert (screen.replicates[screen.cells < 0] == -1).all() and (np.diff(screen.replicate_perturbations) >= 0).all()
    labels = batched[1].obs["perturbation"].astype(str) + batched[1].obs["batch"].astype(str)
    for replicate, perturbation in enumerate(screen.replicate_perturbations):
        rows = screen.replicates == replicate
        assert labels[rows].nunique() == 1 and (screen.cells[rows] == perturbation).all()
    assert read_screen(batched[1], ScreenRequest()).screen.replicates is None


def test_guides_are_replicates_before_batches_are(batched):
    adata = batched[1].copy()
    adata.obs["guide"] = [f"{label}g{i % 2}" for i, label in enumerate(adata.obs["perturbation"])]
    request = ScreenRequest(batch_key="batch", model=PerturbODE(guide_key="guide"))
    screen = read_screen(adata, request).screen
    assert len(screen.replicate_perturbations) == 2 * screen.n_perturbations


def test_a_batch_without_control_cells_is_named(batched):
    adata = batched[1]
    few = adata[(adata.obs["batch"] != "b1") | (adata.obs["perturbation"] != "control")].copy()
    with pytest.raises(
        ValueError, match=r"batch_key: 1 of 3 batches have fewer than 3 control cells.*'b1' \(0 of \d+ cells\)"
    ):
        scdash.tl.fit_perturbode(few, batch_key="batch")
    assert not few.uns.keys() & {"dynamics"}
    with pytest.raises(KeyError, match="batch_key='batches' is not a column"):
        scdash.tl.fit_perturbode(adata, batch_key="batches")


def test_cells_without_a_batch_take_no_part(batched, caplog):
    adata = batched[1].copy()
    adata.obs["batch"] = adata.obs["batch"].where(np.arange(adata.n_obs) >= 7)
    with caplog.at_level("INFO", logger="scdash"):
        screen = read_screen(adata, ScreenRequest(batch_key="batch")).screen
    assert (screen.cells[:7] == -1).all() and f"7 of {adata.n_obs} observations have no label (batch)" in caplog.text


def test_predicted_and_observed_cells_are_centred(batched):
    fits = [scdash.tl.fit_perturbode(a, batch_key="batch", copy=True) for a in batched]
    one, other = (scdash.tl.predict_perturbations(a, ["G001"], n_cells=20, rng=0) for a in fits)
    difference = np.asarray(other.X) - np.asarray(one.X)
    same = np.isclose(difference, np.median(difference, axis=0), atol=1e-3)  # the median: between the two control means
    assert same[(np.asarray(one.X) > 0) & (np.asarray(other.X) > 0)].all()  # levels below 0 are cut off


def test_baselines_and_transport_read_centred_cells(batched):
    for method in ("ridge", "lasso", "differential_expression", "correlation"):
        one, other = (scdash.tl.screen_baseline(a, method, batch_key="batch", copy=True) for a in batched)
        np.testing.assert_allclose(
            other.varp[f"{method}_grn"].toarray(), one.varp[f"{method}_grn"].toarray(), rtol=1e-2, atol=1e-3
        )
    model = PerturbODE(fit=Transport(steps=20, n_modules=4, check_every=10))
    fit = scdash.tl.fit_dynamics(batched[1], model=model, batch_key="batch", copy=True)
    assert fit.uns["dynamics"]["params"]["batch_key"] == "batch"
    again = scdash.tl.screen_baseline(fit, "mean_perturbation", copy=True)  # takes the batches of the fit
    assert again.uns["mean_perturbation"]["params"]["batch_key"] == "batch"


def test_products_are_taken_about_the_means_of_replicates(batched):
    """The noise of a batch's control mean is in all of its cells, so that batches would correlate all genes."""
    adata = batched[1]
    inputs = read_screen(adata, ScreenRequest(batch_key="batch"))
    x, screen = dense32(inputs.values).astype(float), inputs.screen
    stats = perturbation_statistics(inputs.cells, screen, np.full(screen.n_perturbations, -1), slope=None)
    y = x - stats.centre
    within = np.zeros((adata.n_vars, adata.n_vars))
    for replicate, perturbation in enumerate(screen.replicate_perturbations):
        own = y[screen.replicates == replicate]
        np.testing.assert_allclose(stats.replicates.y[replicate], own.mean(axis=0), atol=1e-5)
        assert (
            stats.replicates.counts[replicate] == len(own) and stats.replicates.perturbation[replicate] == perturbation
        )
        within += (own - own.mean(axis=0)).T @ (own - own.mean(axis=0))
    np.testing.assert_allclose(stats.ff.sum(axis=0), within, rtol=1e-3, atol=1e-2)
    freedom = screen.counts.sum() - len(screen.replicate_perturbations)
    free = ~screen.targets.any(axis=0)
    expected = np.sqrt(np.diag(within) / freedom)
    np.testing.assert_allclose(stats.noise_sd[free], expected[free], rtol=1e-3)


def test_replicates_whose_means_would_fill_the_memory_are_not_kept_apart(batched, monkeypatch, caplog):
    monkeypatch.setattr("scdash.screens.batches.MOST_MEANS", 100)
    with caplog.at_level("INFO", logger="scdash"):
        inputs = read_screen(batched[1], ScreenRequest(batch_key="batch"))
    assert inputs.screen.replicates is None and inputs.values.offsets is not None
    assert "are too many to be kept apart" in caplog.text


def test_bootstraps_draw_cells_of_the_same_replicate(batched):
    screen = read_screen(batched[1], ScreenRequest(batch_key="batch", model=PerturbODE(hold_out="G001"))).screen
    rows = bootstrap_rows(screen, np.random.default_rng(0))
    np.testing.assert_array_equal(screen.replicates[rows], screen.replicates)
    assert (rows[screen.cells < 0] == np.flatnonzero(screen.cells < 0)).all() and len(np.unique(rows)) < 0.8 * len(rows)


def test_a_gene_that_is_silent_is_at_zero_in_every_batch(unmoved):
    adata = unmoved.copy()
    adata.obs["batch"] = pd.Categorical((np.arange(adata.n_obs) % 2).astype(str))
    adata.X = adata.X * np.where(np.arange(adata.n_obs) % 2, 1.5, 1.0)[:, None].astype(adata.X.dtype)
    scdash.tl.fit_perturbode(adata, batch_key="batch")
    assert (adata.uns["dynamics"]["lowest"] >= 0).all()  # although centred cells of one batch are below 0
