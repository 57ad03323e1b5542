"""Every kind of bad input raises an error that names the argument, what was found and what to do."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from scdash._data import make_mudata

FUNCTIONS = ["sbnn", "srrr", "cross_validate", "stability"]


def call(api: SimpleNamespace, name: str, mdata: Any, short: dict[str, Any], **options: Any) -> Any:
    given = {"n_features": 4, **({} if name == "srrr" else short), **options}
    return getattr(api, name)(mdata, **given)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_modality_missing(api: SimpleNamespace, mdata: Any, short: dict[str, Any], name: str) -> None:
    with pytest.raises(KeyError, match="y='ephis' is not a modality of mdata. Did you mean 'ephys'"):
        call(api, name, mdata, short, y="ephis")
    with pytest.raises(ValueError, match="x and y are both 'rna'"):
        call(api, name, mdata, short, y="rna")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_anndata_instead_of_mudata(api: SimpleNamespace, mdata: Any, short: dict[str, Any], name: str) -> None:
    with pytest.raises(TypeError, match=r"mdata must be a MuData, found AnnData. .* mudata.MuData\(\{"):
        call(api, name, mdata["rna"], short)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_shared_cells(api: SimpleNamespace, mdata: Any, short: dict[str, Any], name: str) -> None:
    ephys = mdata["ephys"].copy()
    ephys.obs_names = [f"other{i}" for i in range(ephys.n_obs)]
    apart = make_mudata({"rna": mdata["rna"].copy(), "ephys": ephys})
    with pytest.raises(ValueError, match="share no cell: their names look like 'cell0' and 'other0'"):
        call(api, name, apart, short)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_constant_features(api: SimpleNamespace, mdata: Any, short: dict[str, Any], name: str) -> None:
    mdata["ephys"].X[:, 2] = 5.0
    with pytest.raises(ValueError, match=r"1 feature\(s\) of mdata\['ephys'\] are constant or empty.*feature2"):
        call(api, name, mdata, short)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_more_features_than_genes(api: SimpleNamespace, mdata: Any, short: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=r"n_features must lie between 1 and .* \(30\), found 31"):
        call(api, name, mdata, short, n_features=31)


@pytest.mark.parametrize("name", ["sbnn", "cross_validate", "stability"])
def test_more_clusters_than_cells(api: SimpleNamespace, mdata: Any, short: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match="n_clusters=400 is larger than the number of training cells"):
        call(api, name, mdata, {"training": replace(short["training"], n_clusters=400)})


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_in_genes(api: SimpleNamespace, mdata: Any, short: dict[str, Any], name: str) -> None:
    x = mdata["rna"].X.toarray()
    x[7, 3] = np.nan
    mdata["rna"].X = x
    with pytest.raises(ValueError, match=r"mdata\['rna'\].X is NaN or infinite, first at cell 7, gene 'gene3'"):
        call(api, name, mdata, short)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_in_features_asks_what_to_do(api: SimpleNamespace, mdata: Any, short: dict[str, Any], name: str) -> None:
    mdata["ephys"].X[4:8, 1] = np.nan
    with pytest.raises(
        ValueError, match="4 missing values in 4 of 120 cells, most in feature 'feature1'. Pass missing="
    ):
        call(api, name, mdata, short)


@pytest.mark.parametrize(("missing", "used"), [("cells", 116), ("entries", 120)])
def test_nan_in_features_left_out_as_asked(
    api: SimpleNamespace, mdata: Any, short: dict[str, Any], missing: str, used: int
) -> None:
    mdata["ephys"].X[4:8, 1] = np.nan
    api.sbnn(mdata, n_features=4, missing=missing, **short)
    assert mdata.uns["sbnn"]["cells"]["n_both"] == used
    assert mdata.uns["sbnn"]["cells"]["n_incomplete"] == 120 - used
    assert np.isfinite(mdata["ephys"].layers["sbnn"]).all()
    assert np.isfinite(mdata.uns["sbnn"]["per_feature"]["train_r2"]).all()
    table = api.cross_validate(mdata, n_features=4, folds=3, missing=missing, **short)
    assert np.isfinite(table.loc[table["feature"] == "all", "r2"]).all()


def test_a_cell_without_any_feature_is_left_out(api: SimpleNamespace, mdata: Any, short: dict[str, Any]) -> None:
    mdata["ephys"].X[5] = np.nan
    api.sbnn(mdata, n_features=4, missing="entries", **short)
    assert mdata.uns["sbnn"]["cells"]["n_both"] == 119
    assert mdata.obs["sbnn_split"].iloc[5] == "unused"


def test_infinite_features(api: SimpleNamespace, mdata: Any, short: dict[str, Any]) -> None:
    mdata["ephys"].X[5, 2] = np.inf
    with pytest.raises(ValueError, match="infinite value: cell 'cell5', feature 'feature2'"):
        api.sbnn(mdata, n_features=4, **short)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_integer_counts(api: SimpleNamespace, mdata: Any, short: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=r"layers\['counts'\] looks like raw counts.*normalize_paired"):
        call(api, name, mdata, short, layer="counts")


def test_counts_when_told(api: SimpleNamespace, mdata: Any, short: dict[str, Any]) -> None:
    api.sbnn(mdata, n_features=4, layer="counts", allow_counts=True, **short)
    assert mdata.uns["sbnn"]["params"]["layer"] == "counts"


@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csc_matrix, np.asarray, np.asfortranarray])
def test_every_kind_of_matrix(api: SimpleNamespace, mdata: Any, fitted: Any, short: dict[str, Any], kind: type) -> None:
    dense = mdata["rna"].X.toarray()
    mdata["rna"].X = kind(dense)
    api.sbnn(mdata, n_features=4, **short)
    assert list(mdata.uns["sbnn"]["genes"]) == list(fitted.uns["sbnn"]["genes"])
    np.testing.assert_allclose(mdata.obsm["X_sbnn"], fitted.obsm["X_sbnn"], atol=1e-3)


def test_constant_genes_are_never_selected_before_others(
    api: SimpleNamespace, mdata: Any, short: dict[str, Any]
) -> None:
    x = mdata["rna"].X.toarray()
    informative = np.flatnonzero(~mdata["rna"].var["informative"].to_numpy())[:3]
    x[:, informative] = 2.0
    mdata["rna"].X = x
    api.srrr(mdata, n_features=4)
    assert not mdata["rna"].var["srrr_selected"].to_numpy()[informative].any()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer": "count"}, KeyError, "layer='count' is not in .*Did you mean 'counts'"),
        ({"y_layer": "nope"}, KeyError, r"y_layer='nope' is not in mdata\['ephys'\].layers"),
        ({"mask_var": "hvg"}, KeyError, "mask_var='hvg' is not a column"),
        ({"missing": "drop"}, ValueError, "Unknown missing 'drop'"),
        ({"standardize": "zscore"}, ValueError, "Unknown standardize 'zscore'"),
        ({"n_latent": 0}, ValueError, "n_latent must be at least 1"),
        ({"test_fraction": 1.0}, ValueError, "test_fraction must be at least 0 and below 1"),
        ({"key_added": "rna"}, ValueError, "key_added='rna' clashes with a modality"),
        ({"key_added": "a/b"}, ValueError, "key_added must be a non-empty string without '/'"),
        ({"training": {"tuning_epochs": 5}}, TypeError, "training must be a scdash.BottleneckTraining"),
        ({"rng": -1}, ValueError, "rng must be a seed of at least 0"),
    ],
)
def test_arguments_are_named(
    api: SimpleNamespace,
    mdata: Any,
    short: dict[str, Any],
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        api.sbnn(mdata, **{"n_features": 4, **short, **options})


def test_duplicated_names(api: SimpleNamespace, mdata: Any, short: dict[str, Any]) -> None:
    mdata["rna"].var_names = ["gene0"] * 2 + [f"gene{i}" for i in range(2, 30)]
    with pytest.raises(ValueError, match="more than once.*'gene0'"):
        api.sbnn(mdata, n_features=4, **short)


def test_views_and_empty_modalities(api: SimpleNamespace, mdata: Any, short: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"mdata is a view .* mdata.copy\(\)"):
        api.sbnn(mdata[:50], n_features=4, **short)
    empty = make_mudata({"rna": mdata["rna"].copy(), "ephys": ad.AnnData(np.zeros((120, 0), np.float32))})
    with pytest.raises(ValueError, match=r"mdata\['ephys'\] is empty"):
        api.sbnn(empty, n_features=4, **short)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, "alpha must lie between 0"),
        ({"lam": -1.0}, "lam must be positive"),
        ({"lam": 50.0}, "lam=50 selects no gene"),
        ({"rank": 6}, "rank must lie between 1 and"),
        ({"missing": "entries"}, "missing='entries' is not defined for srrr"),
    ],
)
def test_srrr_arguments_are_named(api: SimpleNamespace, mdata: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        api.srrr(mdata, **{"n_features": 4, **options})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"folds": "fold"}, KeyError, "folds='fold' is not a column of mdata.obs"),
        ({"folds": [0, 1]}, ValueError, r"one label per cell of mdata \(120\), found 2"),
        ({"folds": 1}, ValueError, "folds must lie between 2"),
        ({"baselines": ("lasso",)}, ValueError, "Unknown baseline 'lasso'"),
    ],
)
def test_cross_validation_arguments_are_named(
    api: SimpleNamespace,
    mdata: Any,
    short: dict[str, Any],
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        api.cross_validate(mdata, n_features=4, **{**short, **options})


@pytest.mark.parametrize(("options", "message"), [({"n_repeats": 1}, "n_repeats"), ({"subsample": 0.0}, "subsample")])
def test_stability_arguments_are_named(
    api: SimpleNamespace, mdata: Any, short: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        api.stability(mdata, n_features=4, **{**short, **options})
