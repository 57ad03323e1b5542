"""Heat map along time, phase portrait and volcano: what is drawn is what is stored."""

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.quiver import Quiver

from scdash import pl
from scdash.pl._heatmap import time_ticks


def test_the_heat_map_holds_both_states_in_one_order(adata) -> None:
    genes = ["GENE3", "TF0", "GENE7"]
    left, right = pl.heatmap(adata, genes, order="given", standard_scale=None)
    series, names = adata.uns["dynamics"]["series"], list(adata.uns["dynamics"]["genes"])
    at = [names.index(gene) for gene in genes]
    np.testing.assert_allclose(left.images[0].get_array(), series["states"][:, at].T)
    np.testing.assert_allclose(right.images[0].get_array(), series["fitted"][:, at].T)
    assert [text.get_text() for text in left.get_yticklabels()] == genes
    assert left.images[0].get_clim() == right.images[0].get_clim()
    assert left.get_xlabel() == "dpt_pseudotime"


def test_the_heat_map_begins_with_the_genes_that_peak_first(adata) -> None:
    states = np.zeros((10, 24))
    peaks = np.random.default_rng(1).permutation(10)
    states[peaks, np.arange(10)] = 1.0
    adata.uns["dynamics"]["series"] |= {"states": states, "fitted": states / 2}
    left, right = pl.heatmap(adata, n_top=10)
    assert (np.diff(left.images[0].get_array().argmax(axis=1)) >= 0).all()
    assert left.images[0].get_array().max() == 1 and right.images[0].get_array().max() == 0.5  # one scale for both
    assert len(left.get_yticklabels()) == 10


def test_bad_arguments_of_the_heat_map_are_named(adata) -> None:
    for arguments, message in (
        ({"values": "all"}, "Unknown values"), ({"order": "name"}, "Unknown order"), ({"n_top": 0}, "n_top must be"),
        ({"standard_scale": "var"}, "Unknown standard_scale"), ({"genes": ["TF99"]}, "genes: 'TF99'"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            pl.heatmap(adata, **arguments)


def test_the_phase_portrait_has_cells_arrows_and_the_path_of_the_model(adata) -> None:
    ax = pl.phase(adata, ["TF0", "GENE3"])
    cells = ax.collections[0].get_offsets()
    np.testing.assert_allclose(cells, adata[:, ["TF0", "GENE3"]].X.toarray(), rtol=1e-6)
    series, names = adata.uns["dynamics"]["series"], list(adata.uns["dynamics"]["genes"])
    line = ax.get_lines()[0].get_xydata()
    np.testing.assert_allclose(line, series["fitted"][:, [names.index("TF0"), names.index("GENE3")]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("TF0 (expression)", "GENE3 (expression)")


def test_arrows_of_the_phase_portrait_are_the_velocities_of_both_genes(adata) -> None:
    layer = np.zeros(adata.shape, "f4")
    layer[:, list(adata.var_names).index("TF0")] = 1.0
    adata.layers["dynamics_velocity"] = layer
    (arrows,) = [found for found in pl.phase(adata, ["TF0", "GENE3"]).collections if isinstance(found, Quiver)]
    assert (arrows.U > 0).all() and np.allclose(arrows.V, 0)
    (arrows,) = [found for found in pl.phase(adata, ["GENE3", "TF0"]).collections if isinstance(found, Quiver)]
    assert (arrows.V > 0).all() and np.allclose(arrows.U, 0)
    assert not [c for c in pl.phase(adata, ["TF0", "GENE3"], arrows=False).collections if isinstance(c, Quiver)]
    del adata.layers["dynamics_velocity"]
    with pytest.raises(KeyError, match="No layer 'dynamics_velocity'"):
        pl.phase(adata, ["TF0", "GENE3"])
    with pytest.raises(ValueError, match="two different genes, such as"):
        pl.phase(adata, ["TF0", "TF0"])
    with pytest.raises(ValueError, match=r"found \['TF0'\]"):
        pl.phase(adata, "TF0")


@pytest.mark.parametrize("draw", [pl.phase, pl.trends, pl.heatmap])
def test_genes_one_by_one_are_answered_with_what_to_write(adata, draw) -> None:
    name = draw.__name__
    with pytest.raises(TypeError) as caught:
        draw(adata, "TF0", "GENE3")
    assert str(caught.value).endswith(f"found 3 values: write {name}(adata, ['TF0', 'GENE3']).")
    with pytest.raises(TypeError, match="give the others by their names"):
        draw(adata, ["TF0", "GENE3"], "dynamics", 3)
    assert draw(adata, genes=["TF0", "GENE3"]) is not None


@pytest.fixture
def perturbed() -> ad.AnnData:
    names = [f"G{i}" for i in range(8)]
    obs = pd.DataFrame(
        {"condition": np.repeat(["control", "perturbed"], 4), "trajectory": "all", "time": np.tile(np.arange(4.0), 2),
         "position": np.tile(np.arange(4.0), 2)}, index=[f"r{i}" for i in range(8)],
    )  # fmt: skip
    found = ad.AnnData(np.tile(np.arange(8.0), (8, 1)), obs=obs, var=pd.DataFrame(index=names))
    change = [-3.0, 2.0, 0.01, 0.0, 0.5, -0.2, 0.1, 0.0]
    found.uns["change"] = pd.DataFrame(
        {"gene": names, "control": 1.0, "perturbed": 1 + np.array(change), "held": [False] * 7 + [True],
         "change": change, "spread": [0.5, 4.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], "n_targets": 1}
    )  # fmt: skip
    found.uns["perturbation"] = pd.DataFrame({"gene": ["G7"], "level": [0.0]})
    found.uns["observed"] = {
        "trajectory": ["all"] * 3,
        "time": np.array([2.0, 0.0, 1.0]),
        "states": np.arange(24.0).reshape(3, 8),
    }
    found.layers["spread"] = np.full((8, 8), 0.5)
    return found


def test_the_volcano_shows_changes_over_their_spread_without_the_held_genes(perturbed) -> None:
    ax = pl.knockout_volcano(perturbed, n_labels=2)
    x, y = ax.collections[0].get_offsets().T
    np.testing.assert_allclose(x, perturbed.uns["change"]["change"][:7])
    np.testing.assert_allclose(y, [6, 0.5, 0.1, 0, 5, 2, 1])
    assert {text.get_text() for text in ax.texts} == {"G0", "G1"}
    assert "sd over models" in ax.get_ylabel() and ax.get_title(loc="left") == "G7 = 0"
    perturbed.uns["change"]["spread"] = np.nan
    ax = pl.knockout_volcano(perturbed)
    np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 1], np.abs(perturbed.uns["change"]["change"][:7]))
    assert "unperturbed level" in ax.get_ylabel() and "at least 1," in ax.get_ylabel()
    perturbed.uns["change"].loc[2, "control"] = (
        1e-6  # hardly expressed: its change is not thousands of times the others'
    )
    height = pl.knockout_volcano(perturbed).collections[0].get_offsets()[:, 1]
    np.testing.assert_allclose(height, np.abs(perturbed.uns["change"]["change"][:7]))
    with pytest.raises(ValueError, match="scdash.tl.perturb returns"):
        pl.knockout_volcano(perturbed.uns["change"])


def test_the_volcano_names_increases_beside_decreases(perturbed) -> None:
    change = [-3.0, -2.0, -1.0, 0.5, 0.4, 0.1, 0.0, 0.0]
    perturbed.uns["change"]["change"] = change
    named = [{text.get_text() for text in pl.knockout_volcano(perturbed, n_labels=n).texts} for n in (2, 4, 8)]
    assert named == [{"G0", "G3"}, {"G0", "G1", "G3", "G4"}, {"G0", "G1", "G2", "G3", "G4"}]  # G5 is hardly changed


def test_many_held_genes_are_counted_where_they_are_too_many_for_a_line(perturbed) -> None:
    perturbed.uns["perturbation"] = pd.DataFrame({"gene": [f"G{i}" for i in range(8)], "level": 0.0})
    title = pl.knockout_volcano(perturbed).get_title(loc="left")
    assert title == "G0 = 0, G1 = 0, G2 = 0, G3 = 0, G4 = 0 and 3 more"
    labels = [text.get_text() for text in pl.knockout_trends(perturbed)[0].figure.legends[0].get_texts()]
    assert f"{title} (model)" in labels
    perturbed.uns["perturbation"] = pd.DataFrame({"gene": ["G0", "G1"], "level": [0.0, 1.5]})
    assert pl.knockout_volcano(perturbed).get_title(loc="left") == "G0 = 0, G1 = 1.5"


def test_knockout_trends_show_the_held_gene_the_data_and_the_spread(perturbed) -> None:
    axes = pl.knockout_trends(perturbed)
    assert [ax.get_title(loc="left") for ax in axes][:2] == ["G7 (held)", "G0"]
    held = axes[0]
    (points,) = [found for found in held.collections if found.get_gid() == "observed"]
    np.testing.assert_allclose(points.get_offsets(), [[0, 15], [1, 23], [2, 7]])
    assert len([found for found in held.collections if found.get_gid() == "spread"]) == 2
    labels = [text.get_text() for text in held.figure.legends[0].get_texts()]
    assert labels == ["unperturbed (model)", "G7 = 0 (model)", "± 1 sd over models", "observed, unperturbed"]
    assert not [
        c for ax in pl.knockout_trends(perturbed, observed=False) for c in ax.collections if c.get_gid() == "observed"
    ]
    perturbed.uns["time_axis"] = pd.DataFrame({"fitted": [0.0, 3.0], "shown": [0.0, 30.0]})
    np.testing.assert_allclose(pl.knockout_trends(perturbed)[0].get_lines()[0].get_xdata(), [0, 10, 20, 30])


def test_predictions_beyond_the_times_of_the_data_do_not_pile_up_at_the_last_one(perturbed) -> None:
    perturbed.uns["time_axis"] = pd.DataFrame({"fitted": [0.0, 3.0], "shown": [0.0, 30.0]})
    perturbed.obs["position"] += 2
    axis = pl.knockout_trends(perturbed, "G0")
    np.testing.assert_allclose(axis.get_lines()[0].get_xdata(), [0, 1, 2, 3])
    assert axis.get_xlabel() == "time since the start"


def test_an_ax_that_is_no_axes_is_refused_with_a_sentence(perturbed) -> None:
    axes = plt.subplots(1, 2)[1]
    for wrong, one in ((axes, pl.knockout_volcano), (list(axes), pl.knockout_trends)):
        with pytest.raises(TypeError, match="ax must be one Axes of matplotlib, found"):
            one(perturbed, ax=wrong)


@pytest.mark.parametrize(
    "times", [np.linspace(0.025, 0.975, 20), np.linspace(0, 118, 30), np.array([0.03, 0.1, 0.2, 0.5, 0.55, 0.6, 0.62, 0.65, 0.7, 0.78, 0.98])]
)  # fmt: skip
def test_the_times_of_the_heat_map_are_round_and_stand_where_they_belong(times) -> None:
    places, labels = time_ticks(times)
    assert len(places) >= 3 and all(len(label) <= 4 for label in labels)
    np.testing.assert_allclose(np.interp(places, np.arange(len(times)), times), np.array(labels, dtype=float))
    assert np.diff(sorted(places)).min() >= 0.12 * len(times) - 1e-9


def test_a_few_times_are_all_named(adata) -> None:
    places, labels = time_ticks(np.array([0.0, 0.5, 3.0, 120.0]))
    assert (places, labels) == ([0, 1, 2, 3], ["0", "0.5", "3", "120"])
    panel = pl.heatmap(adata)[0]
    shown = [float(label.get_text()) for label in panel.get_xticklabels()]
    series = adata.uns["dynamics"]["series"]
    np.testing.assert_allclose(np.interp(panel.get_xticks(), np.arange(len(series["time"])), series["time"]), shown)


def test_times_of_the_heat_map_stand_at_the_bins_of_their_cells(adata) -> None:
    """Bins hold equal numbers of cells, so that a pseudotime that runs ever faster is dense in the first columns."""
    adata.obs["dpt_pseudotime"] = (adata.obs["dynamics_position"] / 10) ** 3
    adata.uns["dynamics"]["params"]["model_time"] = True
    panel = pl.heatmap(adata)[0]
    series = adata.uns["dynamics"]["series"]
    cells = adata.obs.sort_values("dynamics_position")
    for place, label in zip(panel.get_xticks(), panel.get_xticklabels(), strict=True):
        position = np.interp(place, np.arange(len(series["time"])), series["time"])
        there = np.interp(position, cells["dynamics_position"], cells["dpt_pseudotime"])
        assert there == pytest.approx(float(label.get_text()), abs=0.03)
    assert np.ptp(panel.get_xticks()) > 3
