"""Cells to a small AnnData of bins: contents, array types, storage, and the errors of bad input."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash
from scdash._data import as_expression, rank_align
from scdash._data.time_series.bins import binned_means, fit_kernels


def set_time(adata, values):
    adata.obs["dpt_pseudotime"] = values


@pytest.fixture
def cells(curve):
    curve.obs["dpt_pseudotime"] = curve.obs["place"]
    curve.obs["batch"] = pd.Categorical(
        np.array(["x", "y", "z", "w"])[np.arange(200) % 4], categories=[*"wxyz", "unused"]
    )
    return curve


def test_slots_follow_the_contract(cells):
    cells.varp["prior"] = sp.random(60, 60, 0.1, format="csr", random_state=0)
    cells.var["highly_variable"] = np.arange(60) % 2 == 0
    bins = scdash.pp.trajectories(cells, batch_key="batch", n_bins=10, n_bootstrap=2, bandwidth=2.0)
    assert bins.shape == (4 * 3 * 10, 30)
    assert list(bins.var_names) == list(cells.var_names[::2])
    assert set(bins.obs) >= {"time", "trajectory", "lineage", "batch", "bootstrap", "n_cells", "split"}
    assert set(bins.obs["split"].cat.categories) == {"train", "validation", "test"}
    assert bins.X.dtype == np.float32 and bins.layers["scaled"].dtype == np.float32
    low, width = bins.var["minimum"].to_numpy(), bins.var["range"].to_numpy()
    np.testing.assert_allclose(bins.layers["scaled"] * width + low, bins.X, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(bins.varp["prior"].toarray(), cells.varp["prior"].toarray()[::2, ::2])
    assert bins.uns["trajectories"]["n_bins"] == 10
    own = cells[cells.obs["batch"] == "y", ::2]
    place = rank_align(own.obs["place"])
    kernels = fit_kernels(place, n_bins=10, bandwidth=2.0, min_cells=5)
    group, draws = np.zeros(len(place), np.int64), np.ones((1, len(place)))
    means, n_cells = (found[0, 0] for found in binned_means(as_expression(own.X), group, place, [kernels], draws))
    rows = (bins.obs["trajectory"] == "y").to_numpy()
    np.testing.assert_allclose(bins.X[rows], means, rtol=1e-5)
    np.testing.assert_allclose(bins.obs["n_cells"][rows], n_cells)


def test_every_array_type_and_backed_agree(cells, tmp_path):
    wanted = scdash.pp.trajectories(cells, n_bins=6).X
    cells.write_h5ad(tmp_path / "dense.h5ad")
    sparse = cells.copy()
    sparse.X = sp.csr_matrix(sparse.X)
    sparse.write_h5ad(tmp_path / "sparse.h5ad")
    read_only = cells.copy()
    read_only.X.flags.writeable = False
    double = cells.copy()
    double.X = double.X.astype(np.float64)
    variants = [sparse, read_only, double, cells[:, :].copy()[np.arange(200)]]
    variants += [ad.read_h5ad(tmp_path / f"{kind}.h5ad", backed="r") for kind in ("dense", "sparse")]
    for variant in variants:
        np.testing.assert_allclose(scdash.pp.trajectories(variant, n_bins=6).X, wanted, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
def test_bins_survive_h5ad_and_zarr(cells, tmp_path):
    bins = scdash.pp.trajectories(cells, batch_key="batch", n_bins=5)
    bins.write_h5ad(tmp_path / "b.h5ad")
    bins.write_zarr(tmp_path / "b.zarr")
    for back in (ad.read_h5ad(tmp_path / "b.h5ad"), ad.read_zarr(tmp_path / "b.zarr")):
        np.testing.assert_array_equal(back.X, bins.X)
        pd.testing.assert_frame_equal(
            back.obs, bins.obs, check_dtype=False, check_index_type=False, check_categorical=False
        )
        stored, written = dict(back.uns["trajectories"]), dict(bins.uns["trajectories"])
        np.testing.assert_array_equal(stored.pop("bandwidths"), written.pop("bandwidths"))
        assert stored == written


def test_layer_and_counts(cells):
    cells.layers["counts"] = np.rint(cells.X * 10)
    with pytest.raises(ValueError, match="layers.'counts'.*raw counts"):
        scdash.pp.trajectories(cells, layer="counts")
    scdash.pp.trajectories(cells, layer="counts", allow_counts=True, n_bins=5)
    cells.X = cells.X * 100
    with pytest.raises(ValueError, match="too large for logarithms"):
        scdash.pp.trajectories(cells)


def test_split_column_is_kept(cells):
    cells.obs["fold"] = np.where(
        cells.obs["batch"] == "x", "test", np.where(cells.obs["batch"] == "y", "validation", "train")
    )
    bins = scdash.pp.trajectories(cells, batch_key="batch", split_key="fold", n_bins=5)
    assert bins.obs.groupby("trajectory", observed=True)["split"].first().astype(str).to_dict() == {
        "x": "test",
        "y": "validation",
        "z": "train",
        "w": "train",
    }


@pytest.mark.parametrize(
    ("change", "options", "error", "text"),
    [
        (lambda a: a.obs.pop("dpt_pseudotime"), {}, KeyError, "order_cells"),
        (lambda a: None, {"time_key": "plce"}, KeyError, "Did you mean 'place'"),
        (lambda a: None, {"time_key": "day"}, TypeError, "must hold numbers"),
        (lambda a: set_time(a, [1.0] * 200), {}, ValueError, "constant"),
        (
            lambda a: set_time(a, [np.inf] + [0.5] * 198 + [1.0]),
            {},
            ValueError,
            "NaN or infinite for 1 of 200",
        ),
        (lambda a: None, {"n_bins": 300}, ValueError, "200 cells, too few for n_bins=300"),
        (lambda a: None, {"n_bins": 1}, ValueError, "at least 2"),
        (lambda a: None, {"batch_key": "btch"}, KeyError, "batch_key='btch'.*Did you mean 'batch'"),
        (lambda a: None, {"mask_var": "hv"}, KeyError, "mask_var='hv'"),
        (lambda a: a.X.__setitem__((3, 4), np.nan), {}, ValueError, "cell 3, gene 'gene2'"),
    ],
)
def test_bad_input(cells, change, options, error, text):
    change(cells)
    with pytest.raises(error, match=text):
        scdash.pp.trajectories(cells, **options)


@pytest.mark.parametrize(("time", "text"), [(np.nan, "is NaN for 1 of"), (np.inf, "is NaN or infinite for 1 of")])
def test_times_within_a_lineage_are_checked_too(cells, time, text):
    cells.obs["lineage"] = "a"
    cells.obs.loc[cells.obs_names[0], "dpt_pseudotime"] = time
    with pytest.raises(ValueError, match=text):
        scdash.pp.trajectories(cells, lineage_key="lineage")


@pytest.mark.filterwarnings("ignore:Variable names are not unique", "ignore:.*obs_names")
def test_empty_single_and_duplicated(cells):
    for few, text in ((cells[:0], "empty"), (cells[:1], "at least 2"), (cells[:, :0], "empty")):
        with pytest.raises(ValueError, match=text):
            scdash.pp.trajectories(few)
    cells.var_names = ["same", "same", *cells.var_names[2:]]
    with pytest.raises(ValueError, match=r"more than once \('same'\).*var_names_make_unique"):
        scdash.pp.trajectories(cells)
