"""The simulation, what can be found in it, and the preprocessing, against their formulas."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData
from scipy.optimize import brentq

import scdash
from scdash.pp._paired import select_above_curve

# the default simulation, with a network and a schedule that take seconds
QUICK = {
    "training": scdash.BottleneckTraining(
        hidden=(64, 32), pretrain_epochs=15, frozen_epochs=10, unfrozen_epochs=25, tuning_epochs=25,
        pretrain_rate=5e-4, frozen_rate=5e-4, unfrozen_rate=4e-4, tuning_rate=5e-4, autoencoder_epochs=5,
    )
}  # fmt: skip


def test_simulated_sizes_and_truth(api: SimpleNamespace) -> None:
    mdata = api.paired(n_cells=50, n_genes=20, n_features=4, n_informative=5, rng=1)
    assert mdata["rna"].shape == (50, 20)
    assert mdata["ephys"].shape == (50, 4)
    assert mdata["rna"].var["informative"].sum() == 5
    counts = mdata["rna"].X.toarray()
    assert (counts == np.rint(counts)).all()
    assert (counts >= 0).all()
    same, other = (api.paired(n_cells=50, n_genes=20, n_informative=5, rng=seed)["rna"].X for seed in (1, 2))
    assert (same != mdata["rna"].X).nnz == 0
    assert (other != mdata["rna"].X).nnz > 0


def test_noise_is_what_was_asked(api: SimpleNamespace) -> None:
    mdata = api.paired(n_cells=4000, n_genes=12, n_informative=3, noise=0.7)
    clean = mdata["ephys"].layers["clean"]
    np.testing.assert_allclose(clean.std(0), 1, atol=1e-5)
    np.testing.assert_allclose((mdata["ephys"].X - clean).std(0), 0.7, rtol=0.05)
    assert mdata.uns["simulation"]["best_r2"] == pytest.approx(1 / 1.49)


def test_proteins_are_counts_above_a_background_that_their_normalisation_recognises(api: SimpleNamespace) -> None:
    mdata = api.paired(n_cells=1000, n_genes=20, n_features=6, n_informative=5, proteins=True, rng=1)
    same_cells = api.paired(n_cells=1000, n_genes=20, n_features=6, n_informative=5, rng=1)
    proteins = mdata["prot"]
    counts = proteins.X.toarray()
    assert (counts == np.rint(counts)).all()
    assert (counts > 0).mean() > 0.99  # every cell binds some of every antibody
    np.testing.assert_array_equal(proteins.layers["clean"], same_cells["ephys"].layers["clean"])
    assert "best_r2" not in mdata.uns["simulation"]
    api.normalize(mdata, x="prot")
    assert proteins.uns["normalize_paired"]["method"] == "clr"
    found = [np.corrcoef(proteins.X[:, j], proteins.layers["clean"][:, j])[0, 1] for j in range(6)]
    assert min(found) > 0.6


def test_informative_genes_follow_the_latent_space_and_others_do_not(api: SimpleNamespace) -> None:
    """Regressing each gene on z (cubic) explains the informative ones; depth and noise leave the others near 0."""
    mdata = api.paired(n_cells=2000, n_genes=60, rng=3)
    api.normalize(mdata)
    z = mdata.obsm["latent_truth"]
    basis = np.stack([z[:, 0] ** i * z[:, 1] ** j for i in range(4) for j in range(4 - i)], axis=1)
    x = mdata["rna"].X.toarray()
    residual = x - basis @ np.linalg.lstsq(basis, x, rcond=None)[0]
    explained = 1 - residual.var(0) / x.var(0)
    informative = mdata["rna"].var["informative"].to_numpy()
    assert explained[informative].min() > 0.5
    # the second latent space is clustered too, so that chance correlations exceed those of independent cells
    assert np.median(explained[~informative]) < 0.35
    assert explained[informative].min() > explained[~informative].max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_informative": 200}, "n_informative must lie between 1"),
        ({"n_cells": 3}, "n_cells must be at least 4"),
        ({"noise": -1}, "noise must not"),
    ],
)
def test_simulation_refuses_nonsense(api: SimpleNamespace, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        api.paired(**options)


def test_informative_genes_are_found_and_found_again(api: SimpleNamespace) -> None:
    mdata = api.paired(rng=1)
    api.normalize(mdata)
    informative = set(mdata["rna"].var_names[mdata["rna"].var["informative"]])
    api.sbnn(mdata, n_features=10, **QUICK)
    assert len(informative & set(mdata.uns["sbnn"]["genes"])) >= 9
    assert mdata.uns["sbnn"]["metrics"]["test_r2"] > 0.5
    table = api.stability(mdata, n_features=10, n_repeats=4, **QUICK)
    assert mdata.uns["sbnn_stability"]["metrics"]["shared"] >= 9
    assert set(table["gene"].head(9)) <= informative


@pytest.mark.slow
def test_defaults_find_the_informative_genes_and_beat_linear_models(api: SimpleNamespace) -> None:
    for seed in (1, 2):
        mdata = api.paired(rng=seed)
        api.normalize(mdata)
        table = api.cross_validate(mdata, n_features=10, folds=5, rng=seed)
        selection = api.gene_selection(mdata, key="sbnn_cv").set_index("gene")["frequency"]
        informative = mdata["rna"].var_names[mdata["rna"].var["informative"]]
        assert selection.loc[informative].mean() >= 0.9
        means = table[table["feature"] == "all"].groupby("method")["r2"].mean()
        assert means["sbnn-2"] > means.drop("sbnn-2").max() + 0.05


@pytest.mark.slow
def test_defaults_learn_nothing_from_shuffled_features(api: SimpleNamespace) -> None:
    mdata = api.paired(rng=1, shuffled=True)
    api.normalize(mdata)
    table = api.cross_validate(mdata, n_features=10, folds=5)
    own = table[(table["feature"] == "all") & (table["method"] == "sbnn-2")]["r2"]
    assert abs(own.mean()) < 0.05
    assert "Nothing was learned" in table.attrs["report"]


@pytest.mark.parametrize("kind", [sp.csr_matrix, np.asarray])
def test_normalisation_is_its_formula(api: SimpleNamespace, kind: type) -> None:
    raw = api.paired(n_cells=30, n_genes=15, n_informative=3)
    counts = raw["rna"].X.toarray().astype(np.float64)
    raw["rna"].X = kind(counts.astype(np.float32))
    api.normalize(raw)
    sums = counts.sum(axis=1, keepdims=True)
    expected = np.log2(counts / sums * np.median(sums) + 1)
    found = raw["rna"].X
    assert sp.issparse(found) == (kind is sp.csr_matrix)
    np.testing.assert_allclose(found.toarray() if sp.issparse(found) else found, expected, rtol=1e-5)
    kept = raw["rna"].layers["counts"]
    np.testing.assert_array_equal(kept.toarray() if sp.issparse(kept) else kept, counts)
    assert raw["rna"].uns["normalize_paired"]["target_sum"] == np.median(sums)


def test_sums_over_chosen_genes_and_a_given_target(api: SimpleNamespace) -> None:
    raw = api.paired(n_cells=30, n_genes=15, n_informative=3)
    counts = raw["rna"].X.toarray().astype(np.float64)
    mask = np.arange(15) < 8
    result = api.normalize(raw, mask_var=mask, target_sum=1000.0, copy=True)
    expected = np.log2(counts / counts[:, mask].sum(axis=1, keepdims=True) * 1000 + 1)
    np.testing.assert_allclose(result["rna"].X.toarray(), expected, rtol=1e-5)
    np.testing.assert_array_equal(raw["rna"].X.toarray(), counts)
    alone = api.normalize(raw["rna"].copy(), copy=True)
    assert isinstance(alone, AnnData)


def test_normalising_twice_and_empty_cells(api: SimpleNamespace) -> None:
    raw = api.paired(n_cells=30, n_genes=15, n_informative=3)
    api.normalize(raw)
    with pytest.raises(ValueError, match="looks logged already"):
        api.normalize(raw)
    empty = api.paired(n_cells=30, n_genes=15, n_informative=3)
    counts = empty["rna"].X.toarray()
    counts[4] = 0
    empty["rna"].X = counts
    with pytest.raises(ValueError, match=r"1 cell\(s\) have no counts .* 'cell4'"):
        api.normalize(empty)
    with pytest.raises(KeyError, match="x='RNA' is not a modality of mdata. Did you mean 'rna'"):
        api.normalize(empty, x="RNA")


def test_dropout_rule_is_its_formula(api: SimpleNamespace) -> None:
    """Shares of zeros and mean log2 counts by hand, and x0 by bisection, as the rule is published."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.5, 12, size=(1, 300)) * rng.gamma(1, 1, size=(200, 300)))
    adata = AnnData(sp.csr_matrix(counts.astype(np.float32)))
    api.select(adata, n_top_genes=40, threshold=2, min_cells=5)
    zero = (counts <= 2).mean(0)
    level = np.array([np.log2(c[c > 2]).mean() if (c > 2).sum() >= 5 else np.nan for c in counts.T])
    np.testing.assert_allclose(adata.var["dropout_rate"], zero)
    np.testing.assert_allclose(adata.var["mean_log2"], level, rtol=1e-6)

    def kept(x0: float) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return zero > np.exp(-1.5 * (level - x0)) + 0.02

    x0 = brentq(lambda x: kept(x).sum() - 40.5, -20, 20)
    bisected = [x0 - 1e-6, x0 + 1e-6]
    chosen = adata.var["highly_variable"].to_numpy()
    assert chosen.sum() == 40
    assert any((kept(x) == chosen).all() for x in bisected)


def test_dropout_rule_does_not_depend_on_the_order_of_genes() -> None:
    rng = np.random.default_rng(1)
    rate, level = rng.uniform(0, 1, 50), rng.uniform(1, 8, 50)
    order = rng.permutation(50)
    chosen, x0 = select_above_curve(rate, level, 12)
    moved, again = select_above_curve(rate[order], level[order], 12)
    assert (chosen[order] == moved).all()
    assert x0 == again


def test_too_many_genes_asked(api: SimpleNamespace) -> None:
    adata = AnnData(sp.csr_matrix(np.eye(12, 6, dtype=np.float32) * 5))
    with pytest.raises(ValueError, match="n_top_genes=4, but 0 genes are above the threshold"):
        api.select(adata, n_top_genes=4)
