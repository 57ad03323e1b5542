"""The figures: what stands where, from MuData or from tables, and what they refuse."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import scdash
from scdash._core.errors import NotFittedError
from scdash.pl.paired.sbnn import predicted_maps


def test_figure_five(fitted: Any, api: SimpleNamespace) -> None:
    axes = api.pl.sbnn(fitted, "cell_type", genes=3, features=["feature2", "feature0"], show=False)
    titles = [ax.get_title() for ax in axes]
    genes = [str(name) for name in fitted.uns["sbnn"]["genes"]]
    assert titles[1:] == [*genes[:3], "feature2", "feature0"]
    shown = np.concatenate([c.get_offsets() for c in axes[0].collections if len(c.get_offsets())])
    np.testing.assert_allclose(np.unique(shown, axis=0), np.unique(fitted.obsm["X_sbnn"].astype(float), axis=0))
    labels = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert labels == [f"type{k}" for k in range(6)]
    # contours are clipped to the scale but drawn beyond it
    assert all(c.norm.vmin == -1 and c.norm.vmax == 1 for ax in axes[1:] for c in ax.collections)


def test_figure_five_is_one_figure_without_titles_on_each_other(
    fitted: Any, api: SimpleNamespace, tmp_path: Path
) -> None:
    long = "Resting membrane potential of the cell in mV"
    fitted.uns["sbnn"]["features"] = [long, *list(fitted.uns["sbnn"]["features"])[1:]]
    axes = api.pl.sbnn(fitted, "cell_type", show=False)
    figure = axes[0].figure
    figure.savefig(tmp_path / "five.png")
    assert isinstance(figure, Figure) and len({ax.figure for ax in axes}) == 1
    texts = [ax.title for ax in axes] + [text for ax in figure.axes for text in ax.texts]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    assert [text.get_text().replace("\n", " ") for text in texts].count(long) == 1
    assert not any(one.overlaps(two) for i, one in enumerate(boxes) for two in boxes[:i])


@pytest.mark.parametrize("colors", [{f"type{k}": "#cc0000" for k in range(6)}, "#cc0000", ["#cc0000"]], ids=str)
def test_stored_colours_in_any_form(fitted: Any, api: SimpleNamespace, colors: Any) -> None:
    fitted.uns["cell_type_colors"] = colors
    axes = api.pl.sbnn(fitted, "cell_type", genes=0, features=0, show=False)
    handles, _ = axes.get_legend_handles_labels()
    assert all(to_hex(handle.get_facecolor()[0]) == "#cc0000" for handle in handles) == isinstance(colors, dict)


def test_contours_show_the_stored_predictions(
    fitted: Any, api: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr("scdash.pl.paired.sbnn.contours", lambda ax, x, y, values, *look: drawn.append((x, y, values)))
    api.pl.sbnn(fitted, genes=2, features=1, show=False)
    rna, cells = fitted["rna"], fitted.obsm["X_sbnn"].astype(float)
    expected = [rna.obsm["sbnn_genes"][:, 0], rna.obsm["sbnn_genes"][:, 1], rna.obsm["sbnn_features"][:, 0]]
    for (x, y, values), stored in zip(drawn, expected, strict=True):
        across, up = (np.abs(axis[:, None] - cells[:, i]).argmin(axis=0) for i, axis in enumerate((x, y)))
        assert np.corrcoef(values[up, across], stored)[0, 1] > 0.95


def test_into_an_axis_and_as_a_figure(fitted: Any, api: SimpleNamespace) -> None:
    _, ax = plt.subplots()
    assert api.pl.sbnn(fitted, ax=ax) is ax
    assert isinstance(api.pl.sbnn(fitted, genes=0, return_fig=True), Figure)
    assert len(api.pl.sbnn(fitted, genes=0, features=2, show=False)) == 3


def test_linear_fit_has_no_genes_to_draw(fitted: Any, api: SimpleNamespace) -> None:
    axes = api.pl.sbnn(fitted, key="srrr", show=False)
    assert [ax.get_title() for ax in axes[1:]] == fitted["ephys"].var_names.tolist()


def test_the_only_fit_is_drawn_whatever_its_name(mdata: Any, api: SimpleNamespace) -> None:
    api.srrr(mdata, n_features=4)
    named, found = (api.pl.sbnn(mdata, show=False, **more) for more in ({"key": "srrr"}, {}))
    assert [ax.get_title() for ax in named] == [ax.get_title() for ax in found]
    assert scdash.get.selected_genes(mdata).equals(scdash.get.selected_genes(mdata, key="srrr"))
    with pytest.raises(ValueError, match="linear fit of scdash.tl.srrr, which has no epochs"):
        api.pl.training(mdata, key="srrr", show=False)
    api.srrr(mdata, n_features=4, key_added="second")
    with pytest.raises(NotFittedError, match=r"pass key= one of \['srrr', 'second'\]"):
        api.pl.sbnn(mdata, show=False)
    with pytest.raises(TypeError, match=r"mdata.uns\['srrr'\]\['params'\]"):
        scdash.get.settings(mdata, key="srrr")


def test_cells_without_a_latent_position_are_left_out(fitted: Any, api: SimpleNamespace) -> None:
    fitted.obsm["X_sbnn"][:5] = np.nan
    api.pl.sbnn(fitted, "cell_type", show=False)


@pytest.mark.parametrize("count", [12, 400])
def test_maps_show_every_cell_and_bridge_no_gap(count: int) -> None:
    """Two clouds far apart and a cell between: all cells are on the map, with their values, and the gaps are not."""
    rng = np.random.default_rng(0)
    clouds = np.concatenate([rng.normal(0, 0.3, (count // 2, 2)), rng.normal(0, 0.3, (count // 2, 2)) + 5])
    points = np.vstack([clouds, [2.5, 2.5]])
    values = np.column_stack([points[:, 0], -points[:, 1]])
    x, y, maps = predicted_maps(points, values, 0.12)
    across, up = (np.abs(axis[:, None] - points[:, i]).argmin(axis=0) for i, axis in enumerate((x, y)))
    assert np.isfinite(maps[:, up, across]).all()
    np.testing.assert_allclose(maps[0][up, across], points[:, 0], atol=0.35)  # half a gap, where a cell stands alone
    np.testing.assert_allclose(maps[1][up, across], -points[:, 1], atol=0.35)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    far = np.linalg.norm(grid[:, :, None] - points, axis=-1).min(axis=-1) > 0.12 / 2 * 7
    assert far.any() and np.isnan(maps[:, far]).all()
    assert x[0] < points[:, 0].min() and x[-1] > points[:, 0].max()


def test_maps_between_cells_are_linear() -> None:
    points = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    x, y, maps = predicted_maps(points, points, 4.0)
    inside = np.ix_((y >= 0) & (y <= 1), (x >= 0) & (x <= 1))
    across, up = np.meshgrid(x, y)
    np.testing.assert_allclose(maps[0][inside], across[inside], atol=1e-9)
    np.testing.assert_allclose(maps[1][inside], up[inside], atol=1e-9)


def test_maps_of_cells_on_a_line_are_drawn() -> None:
    points = np.column_stack([np.linspace(0, 1, 9), np.zeros(9)])
    x, _, maps = predicted_maps(points, points[:, :1], 0.12)
    assert np.nanmin(maps) == 0 and np.nanmax(maps) == 1 and x[0] == pytest.approx(-0.06, rel=0.1)


def test_many_latent_units_need_an_embedding(mdata: Any, api: SimpleNamespace, short: dict[str, Any]) -> None:
    pytest.importorskip("openTSNE")
    api.sbnn(mdata, n_latent=6, n_features=4, **short)
    with pytest.raises(ValueError, match=r"6 columns, two can be drawn: run `scdash.tl.latent_tsne"):
        api.pl.sbnn(mdata)
    api.tsne(mdata)
    assert mdata.obsm["X_sbnn_tsne"].shape == (120, 2)
    axes = api.pl.sbnn(mdata, "cell_type", show=False)
    assert axes[0].get_title().startswith("t-SNE of the latent space")
    mdata.obsm["X_mine"] = mdata.obsm["X_sbnn_tsne"][:, ::-1].copy()
    api.pl.sbnn(mdata, basis="mine", show=False)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"key": "none"}, NotFittedError, "Run `scdash.tl.sbnn"),
        ({"color": "celltype"}, KeyError, "Did you mean 'cell_type'"),
        ({"genes": ["Gad1"]}, ValueError, "genes: 'Gad1' is not in the model"),
        ({"features": ["feature9"]}, ValueError, "features: 'feature9' is not in the model"),
        ({"basis": "umap"}, KeyError, "basis='umap' names nothing"),
    ],
)
def test_figure_five_refuses(
    fitted: Any, api: SimpleNamespace, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        api.pl.sbnn(fitted, **options)


def test_training_curves(fitted: Any, api: SimpleNamespace) -> None:
    before, curves = api.pl.training(fitted, key="sbnn_cv", show=False)
    assert before.get_ylabel() == "cross-entropy"
    held_out = next(line for line in curves.lines if line.get_label() == "held-out")
    history = fitted.uns["sbnn_cv"]["history"]
    expected = history.dropna(subset="test_r2").groupby("epoch")["test_r2"].mean()
    np.testing.assert_allclose(held_out.get_ydata(), expected)
    labels = {line.get_label() for line in curves.lines}
    assert {"srrr-2", "srrr-5", "ridge"} <= labels
    texts = [text.get_text() for text in curves.texts]
    assert texts == ["frozen", "lasso", "pruned"]


def test_training_of_one_fit_and_of_a_table(fitted: Any, api: SimpleNamespace) -> None:
    assert len(api.pl.training(fitted, show=False)) == 2
    _, ax = plt.subplots()
    assert api.pl.training(fitted.uns["sbnn_cv"]["history"], baselines={"linear": 0.3}, ax=ax) is ax
    assert "linear" in [line.get_label() for line in ax.lines]


@pytest.mark.parametrize("ends", ["above", "below"])
def test_a_bad_held_out_curve_is_seen_or_named(api: SimpleNamespace, ends: str) -> None:
    held_out = [-3.0, -2.0, 0.1, 0.2] if ends == "above" else [0.1, -1.0, -1.5, -2.0]
    table = pd.DataFrame(
        {"model": 0, "epoch": range(4), "stage": "frozen", "train_loss": 1.0, "train_r2": 0.3, "test_r2": held_out}
    )
    ax = api.pl.training(table, baselines=False, show=False)
    low, labels = ax.get_ylim()[0], [line.get_label() for line in ax.lines]
    if ends == "above":
        assert low == pytest.approx(-0.13) and "held-out down to -3" in labels
        mark = ax.lines[labels.index("held-out down to -3")]
        assert mark.get_xdata()[0] == 0
    else:
        assert low < -2 and not [label for label in labels if "down to" in str(label)]


def test_feature_bars_are_means_with_spread(fitted: Any, api: SimpleNamespace) -> None:
    ax = api.pl.feature_scores(fitted, methods=["sbnn-2", "ridge"], show=False)
    table = api.feature_scores(fitted)
    own = table[(table["method"] == "sbnn-2") & (table["feature"] != "all")].sort_values("mean", ascending=False)
    bars = ax.containers[1] if hasattr(ax.containers[1], "patches") else ax.containers[0]
    np.testing.assert_allclose([bar.get_height() for bar in bars], own["mean"])
    assert [label.get_text() for label in ax.get_xticklabels()] == own["feature"].tolist()
    with pytest.raises(ValueError, match="methods: 'lasso' is not in the table"):
        api.pl.feature_scores(fitted, methods=["lasso"])


def test_selection_bars_and_histogram(fitted: Any, api: SimpleNamespace) -> None:
    genes, histogram = api.pl.gene_selection(fitted, show=False)
    table = api.gene_selection(fitted)
    ever = table[table["count"] > 0]
    assert [label.get_text() for label in genes.get_xticklabels()] == ever["gene"].tolist()
    np.testing.assert_allclose([bar.get_height() for bar in genes.patches], ever["frequency"])
    assert sum(bar.get_height() for bar in histogram.patches) == len(ever)
    few = api.pl.gene_selection(table, n_genes=2, show=False)
    assert f"{len(ever) - 2} more were selected" in few[0].get_title()
    with pytest.raises(ValueError, match="n_genes must be at least 1"):
        api.pl.gene_selection(fitted, n_genes=0)


def test_nothing_to_draw_is_named(mdata: Any, api: SimpleNamespace) -> None:
    for function, name in (
        (api.pl.training, "sbnn"),
        (api.pl.feature_scores, "cross_validate_sbnn"),
        (api.pl.gene_selection, "stability"),
    ):
        with pytest.raises(NotFittedError, match=f"scdash.tl.{name}"):
            function(mdata)
    with pytest.raises(TypeError, match="mdata must be a MuData, found AnnData"):
        api.pl.training(mdata["rna"])


def test_figure_five_has_the_held_out_score_and_maps_that_can_be_read(fitted: Any, api: SimpleNamespace) -> None:
    metrics = fitted.uns["sbnn"]["metrics"]
    axes = api.pl.sbnn(fitted, "cell_type", show=False)
    assert f"$R^2$ {metrics['test_r2']:.2f} on 12 held-out cells" in axes[0].get_title()
    axes[0].figure.canvas.draw()
    sizes = [ax.get_window_extent().width / ax.figure.dpi for ax in axes[1:]]
    assert min(sizes) > 1.3  # inches; they were 0.9
    fitted.uns["sbnn"]["metrics"] = metrics | {"n_test": 0.0}
    assert "training cells, none held out" in api.pl.sbnn(fitted, ax=plt.subplots()[1]).get_title()


def test_many_features_are_cut_to_those_predicted_best(api: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    names = [f"feature {i}" for i in range(80)]
    rows = [(m, f, rng.random(), 0.1, 25) for m in ("sbnn-2", "ridge") for f in [*names, "all"]]
    table = pd.DataFrame(rows, columns=["method", "feature", "mean", "sd", "n_genes"])
    best = table[(table["method"] == "sbnn-2") & (table["feature"] != "all")].nlargest(20, "mean")["feature"].tolist()
    ax = api.pl.feature_scores(table, show=False)
    assert [label.get_text() for label in ax.get_xticklabels()] == best
    assert ax.get_title() == "20 of 80 features, those that sbnn-2 predicts best"
    few = api.pl.feature_scores(table, methods=["ridge"], n_features=3, show=False)
    assert len(few.get_xticklabels()) == 3
    with pytest.raises(ValueError, match="n_features must be at least 1"):
        api.pl.feature_scores(table, n_features=0)
