"""Predictions of fitted screens: effects in AnnData, cells, pictures, and tl.perturb from the control."""

import matplotlib as mpl
import numpy as np
import pytest

import scdash

mpl.use("Agg")


def test_direct_and_total_effects_are_those_of_the_equations(matched):
    entry, grn = matched.uns["dynamics"], matched.varp["dynamics_grn"].toarray()
    np.testing.assert_allclose(matched.varp["dynamics_sensitivity"].toarray(), grn / 4, atol=1e-5)  # slope of a sigmoid
    total = matched.varp["dynamics_total_effect"].toarray()
    acting = np.flatnonzero((grn != 0).any(axis=1))
    assert 0 < len(acting) < 20 and not total[np.delete(np.arange(20), acting)].any()  # without edges, no effects
    predicted = scdash.tl.predict_perturbations(matched, list(matched.var_names[acting])).layers["change"]
    for gene, change in zip(acting, predicted, strict=True):
        felt = np.abs(change) >= 0.01 * np.asarray(entry["screen"]["within_sd"])
        felt[gene] = False
        np.testing.assert_allclose(total[gene], np.where(felt, change, 0), atol=1e-5)
    edges = scdash.get.grn(matched)
    row = edges[edges["weight"] != 0].iloc[0]
    i, j = matched.var_names.get_indexer([row["source"], row["target"]])
    assert row["total_effect"] == pytest.approx(total[i, j], abs=0.05)
    assert row["sensitivity"] == pytest.approx(grn[i, j] / 4, abs=1e-5)


def test_observed_changes_come_with_predictions_whatever_the_labels(small):
    adata = small.copy()
    labels = adata.obs["perturbation"].astype(str)
    adata.obs["guide"] = labels.where(labels != "control", "NT").where(labels == "control", labels + "+ctrl")
    scdash.tl.fit_perturbode(
        adata, perturbation_key="guide", control=["NT", "ctrl"], model=scdash.models.PerturbODE(hold_out=["G003+ctrl"])
    )
    found = scdash.tl.predict_perturbations(adata, ["G001", "G001+ctrl", "G003", "G001+G002"])
    assert list(found.obs["status"]) == ["fitted", "fitted", "held out", "not observed"]
    x = np.asarray(adata.X)
    for row, gene in ((0, "G001"), (1, "G001"), (2, "G003")):
        change = x[labels == gene].mean(0) - x[labels == "control"].mean(0)
        np.testing.assert_allclose(found.layers["observed_change"][row], change, atol=1e-5)
    assert np.isnan(found.layers["observed_change"][3]).all()
    figure = scdash.pl.perturbation(adata, found, return_fig=True)
    assert [a.get_title().split("  ")[0] for a in figure.axes] == [
        "G001 (fitted)",
        "G001+ctrl (fitted)",
        "G003 (held out)",
    ]
    with pytest.raises(ValueError, match="perturbations: 'G0001' is not in the model. Did you mean 'G001'"):
        scdash.tl.predict_perturbations(adata, ["G0001"])
    for cells in (0, 5):
        with pytest.raises(ValueError, match="perturbations is empty: name at least one"):
            scdash.tl.predict_perturbations(adata, [], n_cells=cells)
    with pytest.raises(ValueError, match="nothing to compare"):
        scdash.pl.perturbation(adata, scdash.tl.predict_perturbations(adata, ["G001+G002"]))


def test_predicted_and_observed_cells_share_an_embedding(matched):
    cells = scdash.tl.predict_perturbations(matched, ["G001", "G001+G002"], n_cells=15)
    count = cells.obs.groupby(["perturbation", "source"], observed=True).size()
    assert count.to_dict() == {
        ("control", "control"): 15, ("G001", "predicted"): 15, ("G001", "observed"): 15, ("G001+G002", "predicted"): 15,
    }  # fmt: skip
    assert cells.obsm["X_umap"].shape == (60, 2) and (np.asarray(cells.X) >= 0).all()
    mean = scdash.tl.predict_perturbations(matched, ["G001"])
    moved = cells[(cells.obs["perturbation"] == "G001") & (cells.obs["source"] == "predicted")].X
    assert np.corrcoef(np.asarray(moved).mean(0), mean.X[0])[0, 1] > 0.95
    figure = scdash.pl.perturbation(matched, cells, return_fig=True)
    assert [a.get_title() for a in figure.axes] == ["G001", "G001+G002 (not observed)"]
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["control", "observed", "predicted"]
    offsets = {c.get_label(): len(c.get_offsets()) for c in figure.axes[0].collections}
    assert offsets["predicted"] == offsets["observed"] == offsets["control"] == 15
    with pytest.raises(ValueError, match="change"):
        scdash.pl.perturbation(matched, cells, kind="change")
    with pytest.raises(ValueError, match="n_cells"):
        scdash.pl.perturbation(matched, mean, kind="cells")
    with pytest.raises(ValueError, match="kind"):
        scdash.pl.perturbation(matched, mean, kind="umap")


def test_perturb_starts_from_the_control_and_comes_to_rest(matched):
    found = scdash.tl.perturb(matched, {"G001": 3.0, "G002": 3.0})
    assert list(found.obs["trajectory"].unique()) == ["control"]
    end = found[found.obs["condition"] == "perturbed"].X[-1]
    np.testing.assert_allclose(end[[1, 2]], 3.0)
    model = scdash.get.model(matched)
    import torch

    with torch.no_grad():
        rate = model(0.0, torch.as_tensor(end))
    free = ~np.isin(np.arange(20), [1, 2])
    assert np.abs(rate.numpy()[free]).max() < 0.02
    path = scdash.tl.predict(matched)
    assert path.n_obs == 21


def test_named_perturbations_held_out_are_scored_by_the_formula(small):
    adata = scdash.tl.fit_perturbode(small, copy=True, model=scdash.models.PerturbODE(hold_out=["G001", "G005"]))
    entry = adata.uns["dynamics"]
    table = entry["held_out"]
    assert set(table["predictor"]) == {"fit", "mean of the other perturbations", "no change"} and len(table) == 6
    predicted = scdash.tl.predict_perturbations(adata, ["G001"]).layers["change"][0]
    labels = small.obs["perturbation"].astype(str).to_numpy()
    x = np.asarray(small.X)
    observed = x[labels == "G001"].mean(0) - x[labels == "control"].mean(0)
    free = np.arange(20) != 1
    expected = np.corrcoef(predicted[free], observed[free])[0, 1]
    ours = table[(table["perturbation"] == "G001") & (table["predictor"] == "fit")]["pearson_of_changes"].item()
    assert ours == pytest.approx(expected, abs=0.02)
    assert "\n2 perturbations held out by name: R2" in entry["report"]


@pytest.mark.parametrize(
    ("call", "remedy"),
    [
        (lambda a: scdash.pl.heatmap(a, show=False), "this needs a fit of scdash.tl.fit_dynamics"),
        (lambda a: scdash.pl.trends(a, show=False), "this needs a fit of scdash.tl.fit_dynamics"),
        (scdash.tl.perturbation_scores, "this needs a fit of scdash.tl.fit_dynamics"),
        (scdash.tl.gene_influence, "name times"),
        (lambda a: scdash.tl.perturbation_shift(a, "G001"), "name duration"),
    ],
)
def test_what_needs_time_says_that_a_screen_has_none(matched, call, remedy):
    adata = matched.copy()
    with pytest.raises(ValueError, match=rf"uns\['dynamics'\] is the fit of a screen, which has no time; {remedy}"):
        call(adata)
    scdash.tl.gene_influence(adata, times=[0, 1, 5], n_starts=2)
    assert "dynamics_influence" in adata.varm
