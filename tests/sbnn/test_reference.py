"""The paper's M1 neurons: the published figures of sRRR, and networks that learn what the paper shows."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mudata
import numpy as np
import pytest

from scdash._data import without_pulling, writable
from scdash.paired.evaluation import multivariate_r2
from scdash.resampling.folds import make_folds
from scdash.tl._srrr import fit_linear

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def m1(reference: Path) -> Any:
    from scdash.pp._paired import normalize_paired

    with without_pulling():
        stored = mudata.read_h5mu(reference / "patchseq_m1" / "m1_patchseq.h5mu")
    normalize_paired(stored)
    return stored


def test_normalisation_is_the_papers(m1: Any) -> None:
    assert m1["rna"].uns["normalize_paired"]["target_sum"] == 364168


@pytest.mark.parametrize(("rank", "lam", "published"), [(2, 0.4, 0.350), (16, 0.5, 0.398)])
@pytest.mark.parametrize("standardize", ["all", "train"])
def test_srrr_reaches_the_published_figures(
    m1: Any, reference: Path, rank: int, lam: float, published: float, standardize: str
) -> None:
    stored = json.loads((reference / "golden" / "srrr_m1_cv.json").read_text())[f"rank{rank}"]
    x, y = m1["rna"].X, m1["ephys"].X
    scores, genes = [], []
    for fold in make_folds(m1.n_obs, m1.obs["cv_fold"].to_numpy()):
        options = {"rank": rank, "lam": lam, "n_features": 25, "standardize": standardize}
        fit, (x_scale, y_scale) = fit_linear(x, y, fold, **options)
        said = fit.predict(x_scale.apply(x[fold.test].toarray()))
        scores.append(multivariate_r2(y_scale.apply(y[fold.test]), said))
        genes.append(len(fit.selected))
    assert np.mean(scores) == pytest.approx(published, abs=0.003)
    if standardize == "all":  # the released arithmetic, fold by fold
        np.testing.assert_allclose(scores, stored["r2_relaxed_per_fold"], atol=1e-4)
        assert genes == stored["n_nonzero_per_fold"]


@pytest.mark.parametrize(("rank", "lam"), [(2, 0.4), (16, 0.5)])
def test_srrr_selects_the_published_genes(
    m1: Any, reference: Path, api: SimpleNamespace, rank: int, lam: float
) -> None:
    stored = json.loads((reference / "golden" / "srrr_m1_cv.json").read_text())[f"rank{rank}"]
    result = api.srrr(m1, rank=rank, lam=lam, test_fraction=0, copy=True)
    assert sorted(result.uns["srrr"]["genes"]) == stored["genes_full_data"]
    assert result.uns["srrr"]["metrics"]["train_r2"] == pytest.approx(stored["train_r2_full_relaxed"], abs=1e-4)
    rows = dict(zip(stored["genes_full_data"], stored["row_norm_full_data"], strict=True))
    found = api.genes(result, key="srrr").set_index("gene")["norm"]
    np.testing.assert_allclose([found[gene] for gene in rows], list(rows.values()), atol=2e-3)


def test_dropout_rule_finds_the_papers_genes_again(reference: Path, api: SimpleNamespace) -> None:
    """On other cells of the same kind most of the paper's 1000 genes are selected again."""
    with without_pulling():
        stored = mudata.read_h5mu(reference / "patchseq_m1" / "m1_phystemp_allgenes.h5mu")
    api.select(stored, n_top_genes=1000, threshold=30, min_cells=10)
    chosen, known = stored["rna"].var["highly_variable"], stored["rna"].var["in_m1_1000"]
    expected_by_chance = 1000 * known.mean()
    assert (chosen & known).sum() > 10 * expected_by_chance


@pytest.mark.slow
def test_network_separates_the_families_and_finds_their_markers(m1: Any, api: SimpleNamespace) -> None:
    mdata = writable(m1, copy=True)
    api.sbnn(mdata, n_latent=2)
    assert mdata.uns["sbnn"]["metrics"]["test_r2"] > 0.35
    assert {"Pvalb", "Gad1"} <= set(mdata.uns["sbnn"]["genes"])  # selected in all ten runs of the paper
    table = api.predict(mdata)
    np.testing.assert_allclose(table.X, mdata["ephys"].layers["sbnn"], atol=1e-3)
