"""Screens from AnnData to AnnData: labels, checks, slots, prediction."""

import logging

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import scdash
from scdash.simulate._sergio import sergio
from scdash.tl._perturbode import fit_perturbode
from scdash.tl._predict_perturbations import predict_perturbations


@pytest.fixture(scope="module")
def screen():
    adata = sergio(
        genes=20, n_edges=30, n_perturbations=20, n_targets=1, cells_per_perturbation=30, half_response="mid", rng=2
    )
    adata.X = np.log1p(adata.X)
    return adata


@pytest.fixture(scope="module")
def fitted(screen):
    return fit_perturbode(screen, copy=True, model=scdash.models.PerturbODE(n_subsamples=2))


def test_slots_and_orientation(fitted, screen):
    grn = fitted.varp["dynamics_grn"]
    assert grn.dtype == np.float32 and grn.format == "csr"
    assert (grn.diagonal() == 0).all()
    edges = fitted.uns["dynamics"]["edges"]
    assert list(edges.columns[:7]) == [
        "source", "target", "weight", "contribution", "in_prior", "selection_frequency", "score",
    ]  # fmt: skip
    assert edges["score"].is_monotonic_decreasing
    row = edges[edges["weight"] != 0].iloc[0]
    at = fitted.var_names.get_indexer([row["source"], row["target"]])
    assert grn[at[0], at[1]] == pytest.approx(row["weight"])
    truth = screen.varp["truth"].toarray() != 0
    top = edges.head(10)
    right = truth[fitted.var_names.get_indexer(top["source"]), fitted.var_names.get_indexer(top["target"])]
    backwards = truth[fitted.var_names.get_indexer(top["target"]), fitted.var_names.get_indexer(top["source"])]
    assert right.sum() > 5 > backwards.sum()  # 30 of 380 possible edges: chance expects fewer than one


def test_velocity_vanishes_where_the_equations_rest(fitted):
    """The stored field has the matched equations' steady states."""
    predicted = predict_perturbations(fitted, ["G001"])
    import torch

    from scdash.networks import module_from_entry

    model = module_from_entry(fitted.uns["dynamics"])
    with torch.no_grad():
        rate = model(0.0, torch.as_tensor(np.asarray(predicted.X))).numpy()[0]
    free = np.arange(20) != 1
    np.testing.assert_allclose(rate[free], 0, atol=1e-4)


def test_fit_survives_h5ad(fitted, tmp_path):
    import anndata

    fitted.write_h5ad(tmp_path / "fit.h5ad")
    back = anndata.read_h5ad(tmp_path / "fit.h5ad")
    labels = ["G001", "G002+G003"]
    np.testing.assert_array_equal(predict_perturbations(back, labels).X, predict_perturbations(fitted, labels).X)


def test_equal_seeds_equal_results_whatever_the_array_type(screen, fitted):
    sparse = screen.copy()
    sparse.X = sp.csr_matrix(sparse.X)
    again = fit_perturbode(sparse, copy=True, model=scdash.models.PerturbODE(n_subsamples=2))
    np.testing.assert_allclose(again.varp["dynamics_grn"].toarray(), fitted.varp["dynamics_grn"].toarray(), atol=1e-6)
    assert "dynamics" not in screen.uns


def test_labels_with_other_separators_and_controls(screen, fitted):
    renamed = screen.copy()
    labels = renamed.obs["perturbation"].astype(str)
    renamed.obs["guide"] = labels.where(labels != "control", "NT1").where(labels == "control", labels + "_ctrl")
    renamed.obs.loc[renamed.obs_names[:5], "guide"] = "ctrl"
    fit_perturbode(
        renamed,
        perturbation_key="guide",
        control=["NT1", "ctrl"],
        model=scdash.models.PerturbODE(separator="_", n_subsamples=2),
    )
    np.testing.assert_allclose(renamed.varp["dynamics_grn"].toarray(), fitted.varp["dynamics_grn"].toarray(), atol=1e-6)


def test_a_prior_edge_is_penalised_less(screen):
    table = screen.uns["truth"]
    plain = (
        fit_perturbode(screen, copy=True)
        .uns["dynamics"]["edges"]
        .set_index(["source", "target"])["score"]
        .rank(pct=True)
    )
    helped = fit_perturbode(screen, prior=table, copy=True, model=scdash.models.PerturbODE(prior_weight=10)).uns[
        "dynamics"
    ]["edges"]
    assert helped["in_prior"].sum() == len(table)
    helped["place"] = helped["score"].rank(pct=True)
    known = helped[helped["in_prior"]].set_index(["source", "target"])["place"]
    assert known.mean() > plain.reindex(known.index).fillna(0).mean()


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        (None, {"perturbation_key": "perturbations"}, KeyError, "perturbation"),
        (None, {"control": "Control"}, ValueError, "control"),
        ("label", {}, ValueError, "no genes of the data"),
        (None, {"model": scdash.models.PerturbODE(min_cells=40)}, ValueError, "min_cells"),
        (None, {"key_added": "a/b"}, ValueError, "key_added"),
        ("counts", {}, ValueError, "counts"),
        ("nan", {}, ValueError, "NaN"),
    ],
)
def test_errors_name_what_is_wrong_and_leave_the_data_alone(screen, change, arguments, error, message):
    adata = screen.copy()
    if change == "counts":
        adata.X = np.round(np.expm1(adata.X))
    if change == "label":
        labels = adata.obs["perturbation"].astype(str)
        adata.obs["perturbation"] = labels.where(labels == "control", labels + "x")
    if change == "nan":
        adata.X[3, 4] = np.nan
    with pytest.raises(error, match=message):
        fit_perturbode(adata, **arguments)
    assert not adata.uns.keys() - screen.uns.keys() and not adata.layers


def test_few_cells_and_flat_genes_are_warned_of(screen, caplog):
    adata = screen.copy()
    adata.X[:, 7] = 0
    labels = adata.obs["perturbation"].astype(str)
    adata = adata[(labels != "G002") | (np.arange(adata.n_obs) % 6 == 0)].copy()
    with caplog.at_level(logging.WARNING, logger="scdash"):
        fit_perturbode(adata)
    assert "fewer than 10 cells" in caplog.text and "G002" in caplog.text
    assert "never vary" in caplog.text and "G007" in caplog.text
    assert adata.varp["dynamics_grn"][7].nnz == 0 and adata.varp["dynamics_grn"][:, 7].nnz == 0
    assert list(adata.uns["dynamics"]["screen"]["dropped"]["perturbation"]) == ["G002"]


def test_two_perturbations_fit_without_validation(screen):
    labels = screen.obs["perturbation"].astype(str)
    adata = screen[labels.isin(["control", "G001"])].copy()
    fit_perturbode(adata)
    assert "Verdict: not tested whether the network predicts" in adata.uns["dynamics"]["report"]


def test_transport_writes_the_same_slots(screen):
    adata = fit_perturbode(
        screen, copy=True, model=scdash.models.PerturbODE(fit=scdash.models.Transport(steps=20, n_modules=6))
    )
    assert adata.uns["dynamics"]["params"]["field_config"]["n_modules"] == 6
    assert set(pd.DataFrame(adata.uns["dynamics"]["history"]).columns) >= {"epoch", "train_loss", "validation_loss"}
    with pytest.raises(TypeError, match="epochs"):
        fit_perturbode(screen, copy=True, model=scdash.models.PerturbODE(fit=scdash.models.Transport(epochs=2)))
