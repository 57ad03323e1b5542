"""Predictions and figures of fits with several lineages name them, start from them, and draw them in one colour each."""

import logging

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import scdash
from scdash import pl
from scdash._core.errors import NotFittedError

HELD = "G3"


@pytest.fixture
def lineages(fitted: ad.AnnData) -> ad.AnnData:
    """The fit of conftest, with lineages "a" and "b" of 20 cells each, "b" 5 higher."""
    fitted.obs["lineage"] = pd.Categorical(np.repeat(["a", "b"], 20))
    fitted.obs["dynamics_position"] = np.tile(np.linspace(0, 4, 20), 2)
    fitted.X[20:] += 5
    entry = fitted.uns["dynamics"]
    entry["params"] = dict(entry["params"]) | {"trajectory_key": "lineage", "cells": True}
    return fitted


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def starts_of(result: ad.AnnData) -> list[str]:
    return list(result.obs["trajectory"].cat.categories)


def test_a_prediction_starts_at_the_lineage_that_is_named(lineages: ad.AnnData) -> None:
    both, one = scdash.tl.perturb(lineages, HELD), scdash.tl.perturb(lineages, HELD, start="b")
    assert (starts_of(both), starts_of(one)) == (["a", "b"], ["b"])
    np.testing.assert_array_equal(one.X, both[both.obs["trajectory"] == "b"].X)
    assert starts_of(scdash.tl.predict(lineages, start=["b", "a"])) == ["b", "a"]
    first = lineages.uns["dynamics"]["series"]["states"][5]  # of five states of "a", then five of "b"
    np.testing.assert_allclose(scdash.tl.predict(lineages, start="b", times=[0.0]).X[0], first, rtol=1e-6)


def test_names_of_observations_come_before_those_of_lineages(lineages: ad.AnnData) -> None:
    lineages.obs_names = ["b", *lineages.obs_names[1:]]
    found = scdash.tl.predict(lineages, start="b", times=[0.0])
    np.testing.assert_allclose(found.X[0], lineages[:, found.var_names].X[0], rtol=1e-5)


def test_a_start_of_batches_is_every_trajectory_of_the_lineage(lineages: ad.AnnData) -> None:
    lineages.uns["dynamics"]["series"] = dict(lineages.uns["dynamics"]["series"]) | {"lineage": np.zeros(10, int)}
    lineages.uns["dynamics"]["lineage_names"] = np.array(["ery"])
    assert starts_of(scdash.tl.predict(lineages, start="ery")) == ["a", "b"]


def test_a_start_that_is_neither_is_named_with_the_lineages(lineages: ad.AnnData) -> None:
    with pytest.raises(KeyError, match=r"'c' is not in adata.obs_names, nor a lineage of the fit.*\[a, b, c0"):
        scdash.tl.perturb(lineages, HELD, start=["a", "c"])
    lineages.obs["cell_type"] = ["c"] * 3 + ["d"] * (lineages.n_obs - 3)
    hint = r"but a value of adata.obs\['cell_type'\]. Its cells are start=adata.obs\['cell_type'\] == 'c'"
    with pytest.raises(KeyError, match=hint):
        scdash.tl.predict(lineages, start="c")
    assert len(starts_of(scdash.tl.predict(lineages, start=lineages.obs["cell_type"] == "c", times=[1.0]))) == 3
    with pytest.raises(NotFittedError, match=r"or pass key= one of \['dynamics'\]"):
        scdash.tl.predict(lineages, key="Dynamics")


def test_the_log_and_the_volcano_say_what_changes_are_a_mean_of(
    lineages: ad.AnnData, caplog: pytest.LogCaptureFixture
) -> None:
    scdash.settings.verbosity = 2
    with caplog.at_level(logging.INFO, logger="scdash"):
        both = scdash.tl.perturb(lineages, HELD)
        assert "uns['change'] is the mean over 2 starts: a, b" in caplog.text
        caplog.clear()
        one = scdash.tl.perturb(lineages, HELD, start="a")
        assert "mean over" not in caplog.text
    assert pl.knockout_volcano(both, show=False).get_xlabel().endswith("mean of 2 starts: a, b")
    assert pl.knockout_volcano(one, show=False).get_xlabel().endswith("start: a")


def drawn_colors(axis) -> set[str]:
    return {to_hex(line.get_color()) for line in axis.get_lines()}


@pytest.mark.parametrize("stored", [None, ["#aa0000", "#0000aa"]])
def test_a_lineage_has_one_colour_in_every_figure(lineages: ad.AnnData, stored: list[str] | None) -> None:
    if stored is not None:
        lineages.uns["lineage_colors"] = stored
    every, alone = (pl.trends(lineages, "G0", trajectories=t, cells=False, show=False) for t in (None, "b"))
    (color,) = drawn_colors(alone)
    assert color in drawn_colors(every) and (stored is None or color == stored[1])
    knocked = scdash.tl.perturb(lineages, HELD, start="b")
    assert drawn_colors(pl.knockout_trends(knocked, "G0", show=False)) == {color}
    scdash.tl.perturbation_scores(lineages)
    scores = pl.perturbation_scores(lineages, show=False)
    legend = {text.get_text(): handle for text, handle in zip(
        scores[0].figure.legends[0].get_texts(), scores[0].figure.legends[0].legend_handles, strict=True
    )}  # fmt: skip
    assert to_hex(legend["b"].get_color()) == color


def test_a_chosen_lineage_is_drawn_with_its_own_cells_and_its_name(lineages: ad.AnnData) -> None:
    def cells(axis) -> np.ndarray:
        return axis.collections[0].get_offsets()[:, 1]

    every, alone = pl.trends(lineages, "G0", show=False), pl.trends(lineages, "G0", trajectories="b", show=False)
    assert len(cells(every)) == 40
    np.testing.assert_allclose(np.sort(cells(alone)), np.sort(np.asarray(lineages[20:, "G0"].X).ravel()), rtol=1e-6)
    assert "b" in [text.get_text() for text in alone.figure.legends[0].get_texts()]
    titles = [axis.get_title(loc="left") for axis in pl.heatmap(lineages, trajectory="b", show=False)]
    assert titles == ["observed, b", "model, b"]


def test_cells_of_lineages_with_weights_belong_to_all_in_which_they_weigh(lineages: ad.AnnData) -> None:
    weights = pd.DataFrame({"a": np.repeat([1.0, 0.0], 20), "b": np.repeat([0.0, 1.0], 20)}, index=lineages.obs_names)
    weights.iloc[:3] = 0.5
    lineages.obsm["weights"] = weights
    lineages.uns["dynamics"]["params"] = dict(lineages.uns["dynamics"]["params"]) | {"trajectory_key": "weights"}
    alone = pl.trends(lineages, "G0", trajectories="b", show=False)
    assert len(alone.collections[0].get_offsets()) == 23


def test_nothing_below_0_is_drawn_of_genes_that_are_nowhere_below_0(lineages: ad.AnnData) -> None:
    knocked = scdash.tl.perturb(lineages, HELD)
    knocked.X[:, 0] = -1.0
    knocked.layers["spread"][:, 0] = 0.5
    series = lineages.uns["dynamics"]["series"]
    series["fitted"] = np.full_like(series["states"], -1.0)
    for axis in (pl.knockout_trends(knocked, "G0", show=False), pl.trends(lineages, "G0", cells=False, show=False)):
        assert all((line.get_ydata() == 0).all() for line in axis.get_lines()) and axis.get_ylim()[0] == 0
    for band in pl.knockout_trends(knocked, "G0", show=False).collections:
        if band.get_gid() == "spread":
            assert band.get_paths()[0].vertices[:, 1].min() == 0
    (image,) = pl.heatmap(lineages, "G0", values="model", standard_scale=None, show=False).get_images()
    assert image.get_array().min() == 0
    knocked.uns["observed"]["states"][:, 0] = -2.0  # changes from a reference may be negative
    assert pl.knockout_trends(knocked, "G0", show=False).get_lines()[0].get_ydata().min() == -1


def test_starts_without_a_place_are_drawn_from_their_start_on(lineages: ad.AnnData) -> None:
    later = scdash.tl.predict(lineages, times=[1.0]).to_df()
    knocked = scdash.tl.perturb(lineages, HELD, start=later, times=[0.0, 1.0, 2.0])
    axis = pl.knockout_trends(knocked, "G0", show=False)
    np.testing.assert_allclose(axis.get_lines()[0].get_xdata(), [0, 1, 2])
    assert axis.get_xlabel() == "time since the start"
    assert not [found for found in axis.collections if found.get_gid() == "observed"]


def test_states_that_were_predicted_keep_their_place_as_a_start(lineages: ad.AnnData) -> None:
    later = scdash.tl.predict(lineages, start="b", times=[1.0])
    knocked = scdash.tl.perturb(lineages, HELD, start=later, times=[0.0, 1.0, 2.0])
    axis = pl.knockout_trends(knocked, "G0", show=False)
    np.testing.assert_allclose(axis.get_lines()[0].get_xdata(), [1, 2, 3])
    assert axis.get_xlabel() == knocked.uns["time_name"]


def test_starts_that_are_not_drawn_are_told(lineages: ad.AnnData, caplog: pytest.LogCaptureFixture) -> None:
    knocked = scdash.tl.perturb(lineages, HELD, start=list(lineages.obs_names[:8]))
    scdash.settings.verbosity = 2
    with caplog.at_level(logging.INFO, logger="scdash"):
        axis = pl.knockout_trends(knocked, "G0", show=False)
    assert len(axis.get_lines()) == 12 and "Drawing the first 6 of 8 starts" in caplog.text


def test_a_phase_portrait_names_its_lineage_and_shows_nothing_below_0(lineages: ad.AnnData) -> None:
    series = lineages.uns["dynamics"]["series"]
    series["fitted"] = np.full_like(series["states"], -1.0)
    axis = pl.phase(lineages, ["G0", "G1"], trajectory="b", show=False)
    assert axis.get_lines()[0].get_xydata().min() == 0
    assert axis.get_legend().get_texts()[0].get_text() == "model, from the first state of b"


def test_a_start_without_any_gene_of_the_model_says_what_was_found(lineages: ad.AnnData) -> None:
    other = lineages[:5].copy()
    other.var_names = [name.lower() for name in other.var_names]
    with pytest.raises(
        KeyError, match="none of the 24 genes of the model is there.*G0.*start has.*g0.*case is ignored"
    ):
        scdash.tl.predict(lineages, start=other)
    frame = other.to_df().rename(columns=lambda name: f"ENSG{int(name[1:]):011d}")
    with pytest.raises(KeyError, match="Ensembl ids"):
        scdash.tl.predict(lineages, start=frame)


def test_the_html_report_draws_lineages_as_the_figures_do(lineages: ad.AnnData, tmp_path) -> None:
    lineages.uns["lineage_colors"] = ["#aa0000", "#0000aa"]
    series = lineages.uns["dynamics"]["series"]
    series["fitted"] = np.full_like(series["states"], -100.0)
    lineages.uns["dynamics"]["errors"] = pd.DataFrame({"model": ["model"], "test_mse": [0.01]})
    scdash.get.report_html(lineages, tmp_path / "fit.html")
    page = (tmp_path / "fit.html").read_text()
    assert page.count('stroke="#aa0000"') == page.count('stroke="#0000aa"') > 0
    assert 'color:#aa0000">&#9632;</span> a' in page and 'color:#0000aa">&#9632;</span> b' in page
    assert ">-100" not in page
