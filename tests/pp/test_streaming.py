"""Cells on disk or in dask chunks give the numbers of cells in memory, and a million of them fit in four gigabytes."""

import json
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def screen() -> ad.AnnData:
    adata = scdash.simulate.sergio(
        genes=12, n_edges=16, n_perturbations=6, n_targets=1, cells_per_perturbation=40, rng=1
    )
    adata.X = sp.csr_matrix(np.log1p(adata.X).astype(np.float32))
    adata.obs["time"] = np.random.default_rng(0).random(adata.n_obs)
    return adata


@pytest.fixture(params=["backed", "backed dense", "dask", "dense"])
def stored(request: pytest.FixtureRequest, screen: ad.AnnData, tmp_path: Path) -> ad.AnnData:
    adata = screen.copy()
    if request.param.startswith("backed"):
        adata.X = adata.X.toarray() if request.param == "backed dense" else adata.X
        adata.write_h5ad(tmp_path / "cells.h5ad")
        return ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    if request.param == "dense":
        adata.X = adata.X.toarray()
        return adata
    da = pytest.importorskip("dask.array")
    adata.X = da.from_array(adata.X.toarray(), chunks=(37, -1)).map_blocks(sp.csr_matrix)
    return adata


def test_filtering_streams_the_same_table(screen: ad.AnnData, stored: ad.AnnData) -> None:
    expected = scdash.pp.filter_perturbations(screen, copy=True)
    found = scdash.pp.filter_perturbations(stored, copy=True)
    pd.testing.assert_frame_equal(found.uns["perturbations"], expected.uns["perturbations"], rtol=1e-6)
    assert list(found.obs_names) == list(expected.obs_names)


def test_backed_cells_are_never_removed_on_disk(screen: ad.AnnData, tmp_path: Path) -> None:
    screen.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with pytest.raises(ValueError, match="copy=True"):
        scdash.pp.filter_perturbations(backed)
    assert scdash.pp.filter_perturbations(backed, copy=True).n_obs <= backed.n_obs == screen.n_obs


def test_trajectories_stream_the_same_bins(screen: ad.AnnData, stored: ad.AnnData) -> None:
    expected = scdash.pp.trajectories(screen, time_key="time", n_bins=8)
    found = scdash.pp.trajectories(stored, time_key="time", n_bins=8)
    np.testing.assert_allclose(found.X, expected.X, rtol=1e-5, atol=1e-6)


def test_screens_train_on_streamed_cells(screen: ad.AnnData, stored: ad.AnnData) -> None:
    pytest.importorskip("torch")
    expected, found = screen.copy(), stored
    for adata in (expected, found):
        scdash.tl.fit_perturbode(adata)
    a, b = (adata.uns["dynamics"]["edges"].set_index(["source", "target"])["score"] for adata in (expected, found))
    np.testing.assert_allclose(b.reindex(a.index), a, rtol=1e-3, atol=1e-4)


def test_transport_trains_on_streamed_cells(
    screen: ad.AnnData, stored: ad.AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few cells are made dense at once and many are not (here: none): the numbers are the same."""
    pytest.importorskip("torch")
    expected, found = screen.copy(), stored
    how = {
        "rng": 3,
        "model": scdash.models.PerturbODE(fit=scdash.models.Transport(steps=20, n_modules=4, perturbations=5)),
    }
    scdash.tl.fit_perturbode(expected, **how)
    monkeypatch.setattr(scdash._data.rows, "DENSE", 0.0)
    scdash.tl.fit_perturbode(found, **how)
    a, b = (adata.uns["dynamics"]["edges"].set_index(["source", "target"])["weight"] for adata in (expected, found))
    np.testing.assert_allclose(b.reindex(a.index), a, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_a_million_cells_stay_within_four_gigabytes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.streaming", "--cells", "1000000", "--folder", str(tmp_path)]
    command += ["--steps", "trajectories", "filter", "transport"]  # matching takes ten minutes: see streaming.csv
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    print(done.stdout)
    assert {(row["step"], row["X"]) for row in rows} == {
        (step, how) for step in ("trajectories", "filter", "transport") for how in ("backed", "dask")
    }
    assert max(row["peak_gb"] for row in rows) < 4
