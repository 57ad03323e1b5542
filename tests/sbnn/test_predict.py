"""The stored network applied to cells: its own, new ones, with genes missing."""

import logging
from types import SimpleNamespace
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

import scdash
from scdash._core.errors import NotFittedError
from scdash._data import make_mudata, writable
from scdash.paired.result import BottleneckFit


@pytest.mark.parametrize("key", ["sbnn", "srrr"])
def test_own_cells_give_what_is_stored(fitted: Any, api: SimpleNamespace, key: str) -> None:
    predicted = api.predict(fitted, key=key)
    np.testing.assert_allclose(predicted.X, fitted["ephys"].layers[key], atol=1e-5)
    np.testing.assert_allclose(predicted.obsm[f"X_{key}"], fitted.obsm[f"X_{key}"], atol=1e-6)
    assert predicted.var_names.tolist() == fitted["ephys"].var_names.tolist()


def test_model_is_the_same_network(fitted: Any, api: SimpleNamespace) -> None:
    model = api.model(fitted)
    x = fitted["rna"][:, model.gene_names.tolist()].X.toarray()
    with torch.no_grad():
        said = model(torch.as_tensor(x, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(said, fitted["ephys"].layers["sbnn"], atol=1e-5)


def test_new_cells_in_any_form_and_order(fitted: Any, api: SimpleNamespace) -> None:
    """The genes are found by name: columns in another order, others between them, other cells."""
    rna = fitted["rna"]
    new = rna[["cell7", "cell3", "cell99"], rna.var_names[::-1]].copy()
    expected = fitted["ephys"].layers["sbnn"][[7, 3, 99]]
    frame = pd.DataFrame(new.X.toarray(), index=new.obs_names, columns=new.var_names)
    whole = make_mudata({"rna": new.copy()})
    for cells in (new, frame, whole):
        predicted = api.predict(fitted, cells)
        np.testing.assert_allclose(predicted.X, expected, atol=1e-5)
        assert predicted.obs_names.tolist() == new.obs_names.tolist()


def test_missing_genes_raise_or_take_the_training_mean(
    fitted: Any, api: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    genes = [str(name) for name in fitted.uns["sbnn"]["genes"]]
    new = fitted["rna"][:10, ~fitted["rna"].var_names.isin(genes[:2])].copy()
    with pytest.raises(KeyError, match=f"2 of the model's 4 genes are not in the new cells: {genes[0]}, {genes[1]}"):
        api.predict(fitted, new)
    with caplog.at_level(logging.WARNING, logger="scdash"):
        predicted = api.predict(fitted, new, missing_genes="mean")
    assert f"2 of the model's 4 genes are not in the cells and take their training mean: {genes[0]}" in caplog.text
    filled = fitted["rna"][:10, genes].X.toarray()
    filled[:, :2] = fitted.uns["sbnn"]["scales"]["gene_mean"][:2]
    same = api.predict(fitted, pd.DataFrame(filled, columns=genes))
    np.testing.assert_allclose(predicted.X, same.X, atol=1e-5)


def test_cells_that_were_not_normalised_alike_are_pointed_out(
    fitted: Any, api: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    alike, counts = fitted["rna"][:10].copy(), fitted["rna"][:10].copy()
    counts.X = np.round(np.expm1(counts.X.toarray()) * 50)
    with caplog.at_level(logging.WARNING, logger="scdash"):
        api.predict(fitted, alike)
        assert "normalise them as those were" not in caplog.text
        api.predict(fitted, counts)
    assert "standard deviations from the means of the training cells" in caplog.text
    assert "whole numbers" not in caplog.text
    counts.X = np.round(alike.X.toarray())  # few counts are no further from the means than log values
    with caplog.at_level(logging.WARNING, logger="scdash"):
        api.predict(fitted, counts)
    assert "the values of these cells are whole numbers up to" in caplog.text


def test_a_report_of_dynamics_is_refused_for_paired_modalities(fitted: Any) -> None:
    with pytest.raises(TypeError, match="adata is a MuData.*cross_validate_sbnn"):
        scdash.get.report(fitted, key="sbnn")


def test_subset_of_genes_and_cells_keeps_the_model(fitted: Any, api: SimpleNamespace) -> None:
    part = writable(fitted[:30], copy=True)
    np.testing.assert_allclose(api.predict(part).X, fitted["ephys"].layers["sbnn"][:30], atol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ({"key": "nothing"}, NotFittedError, r"Run `scdash.tl.sbnn\(mdata, key_added='nothing'\)` first"),
        ({"missing_genes": "zero"}, ValueError, "Unknown missing_genes 'zero'"),
        ({"start": np.zeros((2, 4))}, TypeError, "start must be an AnnData, a MuData or a DataFrame"),
    ],
)
def test_bad_requests_are_named(
    fitted: Any, api: SimpleNamespace, call: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        api.predict(fitted, call.pop("start", None), **call)


def test_new_mudata_without_the_modality(fitted: Any, api: SimpleNamespace) -> None:
    other = make_mudata({"atac": ad.AnnData(np.zeros((2, 2), np.float32))})
    with pytest.raises(KeyError, match="no modality 'rna'"):
        api.predict(fitted, other)


def test_cross_validation_holds_no_network(fitted: Any, api: SimpleNamespace) -> None:
    with pytest.raises(NotFittedError, match="holds no network"):
        api.model(fitted, key="sbnn_cv")


def test_new_cells_are_read_from_the_layer_of_the_fit(fitted: Any, api: SimpleNamespace) -> None:
    mdata = writable(fitted, copy=True)
    rna = mdata["rna"]
    rna.layers["lognorm"], rna.X = rna.X.copy(), rna.X * 100
    mdata.uns["sbnn"]["params"]["layer"] = "lognorm"
    expected = fitted["ephys"].layers["sbnn"]
    np.testing.assert_allclose(api.predict(mdata).X, expected, atol=1e-5)
    np.testing.assert_allclose(api.predict(mdata, rna[:7].copy()).X, expected[:7], atol=1e-5)
    new = rna[:7].copy()
    del new.layers["lognorm"]
    with pytest.raises(KeyError, match="which start lacks"):
        api.predict(mdata, new)


@pytest.mark.parametrize(("least", "warned"), [(1.05, True), (3.0, False)])
def test_a_panel_that_training_hardly_told_apart_is_pointed_out(
    mdata: Any,
    short: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    least: float,
    warned: bool,
) -> None:
    monkeypatch.setattr(BottleneckFit, "margin", property(lambda fit: least))
    with caplog.at_level(logging.WARNING, logger="scdash"):
        scdash.tl.sbnn(mdata, n_features=4, progress=False, **short)
    assert ("the penalty hardly told the genes apart" in caplog.text) == warned


def test_the_margin_of_a_panel_compares_the_weakest_kept_gene_with_the_others() -> None:
    norms = np.array([0.1, 2.0, 0.2, 0.3, 1.5], dtype=np.float32)
    fit = BottleneckFit.__new__(BottleneckFit)
    for name, value in {"norms": norms, "selected": np.array([1, 4])}.items():
        object.__setattr__(fit, name, value)
    assert fit.margin == pytest.approx(1.5 / 0.2)
    object.__setattr__(fit, "selected", np.arange(5))
    assert fit.margin == float("inf")
