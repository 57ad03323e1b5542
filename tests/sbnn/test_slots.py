"""What lands in MuData, that it survives the disk, and that nothing is written when something fails."""

import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash
from scdash._core.errors import NotFittedError
from scdash._data import make_mudata, without_pulling
from scdash.paired.evaluation import feature_r2, multivariate_r2

KEYS = {"sbnn": 24, "srrr": 2}


def test_slots_shapes_and_types(fitted: Any) -> None:
    rna, ephys = fitted["rna"], fitted["ephys"]
    for key, units in KEYS.items():
        assert fitted.obsm[f"X_{key}"].shape == (120, 2)
        assert fitted.obsm[f"X_{key}"].dtype == np.float32
        assert np.isfinite(fitted.obsm[f"X_{key}"]).all()
        assert rna.var[f"{key}_selected"].sum() == 4
        assert rna.varm[key].shape == (30, units)
        assert sp.issparse(rna.varm[key])
        assert ephys.layers[key].shape == (120, 5)
        assert rna.obsm[f"{key}_features"].shape == (120, 5) and list(fitted.uns[key]["features"]) == list(
            ephys.var_names
        )
        assert fitted.obs[f"{key}_split"].value_counts().to_dict() == {"train": 108, "test": 12, "unused": 0}
    assert rna.obsm["sbnn_genes"].shape == (120, len(fitted.uns["sbnn"]["genes"]))


def test_selected_genes_are_those_of_largest_norm(fitted: Any) -> None:
    var = fitted["rna"].var
    assert set(var["sbnn_norm"].nlargest(4).index) == set(var.index[var["sbnn_selected"]])
    assert list(fitted.uns["sbnn"]["genes"]) == var["sbnn_norm"].nlargest(4).index.tolist()
    weights = fitted["rna"].varm["sbnn"].toarray()
    assert (weights.any(axis=1) == var["sbnn_selected"].to_numpy()).all()
    order = fitted["rna"].var_names.get_indexer(list(fitted.uns["sbnn"]["genes"]))
    np.testing.assert_allclose(weights[order], fitted.uns["sbnn"]["weights"]["encoder_0_weight"])


def test_srrr_weights_are_its_matrix(fitted: Any) -> None:
    """XW, with W in varm, is the latent space; its genes are those with a row."""
    rna, entry = fitted["rna"], fitted.uns["srrr"]
    order = rna.var_names.get_indexer(list(entry["genes"]))
    x = rna.X[:, order].toarray()
    z = (x - entry["scales"]["gene_mean"]) / entry["scales"]["gene_scale"]
    np.testing.assert_allclose(z @ rna.varm["srrr"].toarray()[order], fitted.obsm["X_srrr"], atol=1e-4)


@pytest.mark.parametrize("key", list(KEYS))
def test_metrics_are_recomputed_from_what_is_stored(fitted: Any, key: str) -> None:
    entry = fitted.uns[key]
    truth = (fitted["ephys"].X - entry["scales"]["feature_mean"]) / entry["scales"]["feature_scale"]
    said = fitted["rna"].obsm[f"{key}_features"]
    for name in ("train", "test"):
        rows = (fitted.obs[f"{key}_split"] == name).to_numpy()
        assert entry["metrics"][f"{name}_r2"] == pytest.approx(multivariate_r2(truth[rows], said[rows]), abs=1e-4)
        np.testing.assert_allclose(entry["per_feature"][f"{name}_r2"], feature_r2(truth[rows], said[rows]), atol=1e-4)
    in_units = said * entry["scales"]["feature_scale"] + entry["scales"]["feature_mean"]
    np.testing.assert_allclose(fitted["ephys"].layers[key], in_units, atol=1e-4)


def test_report_names_the_held_out_score(fitted: Any) -> None:
    assert f"{fitted.uns['sbnn']['metrics']['test_r2']:.3f} on 12 held-out cells" in fitted.uns["sbnn"]["report"]


def _same(a: Any, b: Any, where: str = "uns") -> None:
    if isinstance(a, dict):
        assert set(a) == set(b), where
        for name in a:
            _same(a[name], b[name], f"{where}[{name!r}]")
    elif isinstance(a, pd.DataFrame):
        pd.testing.assert_frame_equal(a, b, check_dtype=False, check_categorical=False)
    elif sp.issparse(a):
        assert (a != b).nnz == 0, where
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b, err_msg=where)
    else:
        assert a == b or (a is None and b is None), where


def test_everything_survives_h5mu(fitted: Any, tmp_path: Path, api: SimpleNamespace) -> None:
    with without_pulling():
        fitted.write(tmp_path / "x.h5mu")
        back = mudata.read_h5mu(tmp_path / "x.h5mu")
    for key in ("sbnn", "srrr", "sbnn_cv", "sbnn_stability"):
        _same(dict(fitted.uns[key]), dict(back.uns[key]), key)
    for key in KEYS:
        np.testing.assert_array_equal(fitted.obsm[f"X_{key}"], back.obsm[f"X_{key}"])
        assert (fitted["rna"].varm[key] != back["rna"].varm[key]).nnz == 0
        np.testing.assert_array_equal(fitted["ephys"].layers[key], back["ephys"].layers[key])
        np.testing.assert_array_equal(fitted["rna"].obsm[f"{key}_features"], back["rna"].obsm[f"{key}_features"])
        assert fitted.obs[f"{key}_split"].tolist() == back.obs[f"{key}_split"].tolist()
        np.testing.assert_array_equal(api.predict(fitted, key=key).X, api.predict(back, key=key).X)
    # pandas 3 reads text as its own str, where it was object before
    pd.testing.assert_frame_equal(api.feature_scores(back), api.feature_scores(fitted), check_dtype=False)


def test_update_of_mudata_loses_nothing(fitted: Any) -> None:
    """mudata 0.4 no longer pulls columns on update; 0.3 does: either way results stay where they are."""
    latent, split = fitted.obsm["X_sbnn"].copy(), fitted.obs["sbnn_split"].tolist()
    with without_pulling():
        fitted.update()
    np.testing.assert_array_equal(fitted.obsm["X_sbnn"], latent)
    assert fitted.obs["sbnn_split"].tolist() == split
    assert set(fitted.mod) == {"rna", "ephys"}


def test_copy_leaves_the_original(mdata: Any, api: SimpleNamespace, short: dict[str, Any]) -> None:
    result = api.sbnn(mdata, n_features=4, copy=True, **short)
    assert "sbnn" in result.uns
    assert "sbnn" not in mdata.uns
    assert "sbnn_selected" not in mdata["rna"].var
    assert api.sbnn(mdata, n_features=4, **short) is None


def test_nothing_is_written_when_something_fails(mdata: Any, api: SimpleNamespace, short: dict[str, Any]) -> None:
    slots = [set(mdata.uns), set(mdata.obsm), set(mdata.obs), set(mdata["rna"].var), set(mdata["ephys"].layers)]
    for bad in (
        {"n_features": 99},
        {"training": replace(short["training"], frozen_rate=1e30)},
        {"training": replace(short["training"], n_clusters=500)},
    ):
        with pytest.raises((ValueError, FloatingPointError)):
            api.sbnn(mdata, **{"n_features": 4, **short, **bad})
    found = [set(mdata.uns), set(mdata.obsm), set(mdata.obs), set(mdata["rna"].var), set(mdata["ephys"].layers)]
    assert found == slots


def test_same_seed_same_result(mdata: Any, fitted: Any, api: SimpleNamespace, short: dict[str, Any]) -> None:
    api.sbnn(mdata, n_features=4, progress=False, **short)
    np.testing.assert_array_equal(mdata.obsm["X_sbnn"], fitted.obsm["X_sbnn"])
    api.sbnn(mdata, n_features=4, key_added="other", rng=np.random.default_rng(7), **short)
    assert not np.allclose(mdata.obsm["X_other"], mdata.obsm["X_sbnn"])


def test_mask_var_restricts_the_genes(mdata: Any, api: SimpleNamespace, short: dict[str, Any]) -> None:
    listed = np.arange(30) % 2 == 0
    mdata["rna"].var["listed"] = listed
    for mask in ("listed", listed):
        api.sbnn(mdata, n_features=4, mask_var=mask, **short)
        assert not mdata["rna"].var["sbnn_selected"].to_numpy()[~listed].any()
        assert mdata["rna"].var["sbnn_norm"].isna().to_numpy().tolist() == (~listed).tolist()
        assert len(mdata.uns["sbnn"]["masks"]["genes"]) == 15


def test_highly_variable_genes_are_the_default_choice(mdata: Any, api: SimpleNamespace, short: dict[str, Any]) -> None:
    mdata["rna"].var["highly_variable"] = np.arange(30) < 12
    api.sbnn(mdata, n_features=4, **short)
    assert len(mdata.uns["sbnn"]["masks"]["genes"]) == 12


def test_cells_of_one_modality_only(api: SimpleNamespace, simulated: Any, short: dict[str, Any]) -> None:
    """They are reported, not learned from; those with genes get predictions, the others NaN."""
    whole = simulated()
    mdata = make_mudata({"rna": whole["rna"][:110].copy(), "ephys": whole["ephys"][20:].copy()})
    api.sbnn(mdata, n_features=4, **short)
    entry = mdata.uns["sbnn"]
    assert entry["cells"] == {"n_x": 110, "n_y": 100, "n_both": 90, "n_incomplete": 0}
    split = mdata.obs["sbnn_split"]
    assert split.value_counts().to_dict() == {"train": 81, "test": 9, "unused": 30}
    has_genes = mdata.obs_names.isin(mdata["rna"].obs_names)
    assert (np.isfinite(mdata.obsm["X_sbnn"]).all(axis=1) == has_genes).all()
    predicted = np.isfinite(mdata["ephys"].layers["sbnn"]).all(axis=1)
    assert (predicted == mdata["ephys"].obs_names.isin(mdata["rna"].obs_names)).all()
    assert np.isfinite(mdata["rna"].obsm["sbnn_features"]).all()


def test_order_of_cells_in_the_modalities_does_not_matter(
    api: SimpleNamespace, simulated: Any, short: dict[str, Any]
) -> None:
    """Modalities are matched by name: shuffling one changes nothing that is learned."""
    whole = simulated()
    order = np.random.default_rng(0).permutation(120)
    mixed = make_mudata({"rna": whole["rna"].copy(), "ephys": whole["ephys"][order].copy()})
    api.sbnn(whole, n_features=4, **short)
    api.sbnn(mixed, n_features=4, **short)
    assert list(whole.uns["sbnn"]["genes"]) == list(mixed.uns["sbnn"]["genes"])
    np.testing.assert_allclose(mixed["ephys"].layers["sbnn"], whole["ephys"].layers["sbnn"][order], atol=1e-4)


def test_any_names_of_modalities(api: SimpleNamespace, simulated: Any, short: dict[str, Any]) -> None:
    whole = simulated()
    mdata = make_mudata({"atac": whole["rna"].copy(), "prot": whole["ephys"].copy()})
    api.sbnn(mdata, x="atac", y="prot", n_features=4, **short)
    assert mdata.uns["sbnn"]["params"]["y"] == "prot"


def test_without_the_autoencoder(mdata: Any, api: SimpleNamespace, short: dict[str, Any]) -> None:
    api.sbnn(mdata, n_features=4, autoencoder=False, **short)
    assert "sbnn_genes" not in mdata["rna"].obsm
    assert "autoencoder" not in set(mdata.uns["sbnn"]["history"]["stage"])


def test_no_cells_held_out(mdata: Any, api: SimpleNamespace, short: dict[str, Any]) -> None:
    api.sbnn(mdata, n_features=4, test_fraction=0, **short)
    assert np.isnan(mdata.uns["sbnn"]["metrics"]["test_r2"])
    assert "no cells were held out" in mdata.uns["sbnn"]["report"]
    assert (mdata.obs["sbnn_split"] == "train").all()


def options_of_mudata() -> dict[str, Any] | None:
    if not hasattr(mudata, "set_options"):
        return None
    with mudata.set_options() as options:
        return dict(options)


def test_we_do_not_set_off_mudatas_warnings(mdata: Any, api: SimpleNamespace) -> None:
    """mudata 0.3 warns of what 0.4 changes; the user's option, which 0.4 has no more, stands as it was afterwards."""
    before = options_of_mudata()
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)
        simulated = api.paired(n_cells=40, n_genes=8, n_informative=2)
        api.normalize(simulated, copy=True)
        copied = api.srrr(mdata, rank=1, n_features=3, copy=True)
    assert list(copied.obs) == ["cell_type", "srrr_split"]
    assert options_of_mudata() == before


def test_the_only_fit_is_read_without_a_key(mdata: Any, api: SimpleNamespace) -> None:
    """`get.history`, `get.model` and `tl.predict` find a fit of another name than "sbnn"; two of them must be named."""
    api.srrr(mdata, n_features=4)
    pd.testing.assert_frame_equal(scdash.get.history(mdata), mdata.uns["srrr"]["history"].reset_index(drop=True))
    assert api.model(mdata).gene_names.tolist() == mdata.uns["srrr"]["genes"].tolist()
    np.testing.assert_array_equal(api.predict(mdata).X, api.predict(mdata, key="srrr").X)
    api.srrr(mdata, n_features=3, key_added="smaller")
    with pytest.raises(NotFittedError, match=r"or pass key= one of \['srrr', 'smaller'\]"):
        scdash.get.history(mdata)


def test_history_of_the_default_key_and_of_a_cross_validation(fitted: Any) -> None:
    assert scdash.get.history(fitted)["stage"].iloc[-1] == "autoencoder"
    assert scdash.get.history(fitted, key="sbnn_cv")["model"].nunique() == 3
    with pytest.raises(NotFittedError, match="holds no history"):
        scdash.get.history(fitted, key="sbnn_stability")
