"""Lines: training history, lambda tables, benchmarks and trends hold the numbers they claim to show."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from scdash import pl


def line(ax, label: str):
    return next(found for found in ax.get_lines() if found.get_label() == label)


def vertices(patch) -> tuple[float, float]:
    x = patch.get_window_extent().transformed(patch.axes.transData.inverted())
    return x.x0, x.x1


# history


def test_history_shows_median_losses_sparsity_and_prunings(adata) -> None:
    loss, share = pl.history(adata)
    table = adata.uns["dynamics"]["history"]
    assert loss.get_yscale() == "log" and share.get_xlabel() == "epoch"
    for column, label in (("train_loss", "training (median)"), ("validation_loss", "validation (median)")):
        expected = table.groupby("epoch")[column].median()
        np.testing.assert_allclose(line(loss, label).get_ydata(), expected)
    np.testing.assert_array_equal(line(loss, "pruning").get_xdata(), [3, 10, 20])
    np.testing.assert_allclose(share.get_lines()[0].get_ydata(), 100 * table["sparsity"][:30])
    assert share.get_lines()[0].get_drawstyle() == "steps-post"


def test_history_levels_are_those_of_the_validation_states(adata) -> None:
    loss, _ = pl.history(adata)
    for label, value in (("constant", 6e-3), ("no change", 0.012), ("matched start", 4e-3)):
        assert set(line(loss, label).get_ydata()) == {value} and line(loss, label).get_linestyle() != "-"
    adata.uns["dynamics"]["params"]["kept"] = "regression"
    loss, _ = pl.history(adata)
    assert set(line(loss, "matched start (kept)").get_ydata()) == {4e-3}
    # errors of next steps on test states are another quantity: not drawn beside the curves
    adata.uns["dynamics"]["metrics"] = {"constant_mse": 0.1, "validation_loss_constant": np.nan}
    loss, _ = pl.history(adata)
    assert not {"constant", "no change"} & {found.get_label() for found in loss.get_lines()}
    loss, _ = pl.history(adata, baselines={"mean trajectory": 0.5})
    assert set(line(loss, "mean trajectory").get_ydata()) == {0.5}


def test_history_of_one_model_from_the_table(adata) -> None:
    table = adata.uns["dynamics"]["history"]
    loss, _ = pl.history(table, model=1)
    np.testing.assert_allclose(line(loss, "training").get_ydata(), table.loc[table["model"] == 1, "train_loss"])
    with pytest.raises(ValueError, match=r"model 7 is not in the history; it holds \[0, 1\]"):
        pl.history(table, model=7)
    with pytest.raises(ValueError, match="no column 'epoch'"):
        pl.history(table.rename(columns={"epoch": "epochs"}))
    with pytest.raises(ValueError, match="needed no training"):
        pl.history(table.iloc[:0])


def test_history_names_what_the_losses_are_errors_of(adata) -> None:
    adata.uns["dynamics"]["params"]["training"] = {"window": 5}
    loss, _ = pl.history(adata, model=0)
    assert line(loss, "training (5 steps)") is not None and line(loss, "validation (whole time windows)") is not None


def test_history_of_a_sparse_start_shows_what_changes(adata) -> None:
    table = adata.uns["dynamics"]["history"]
    assert pl.history(table)[1].get_ylim() == (0, 103)
    _, share = pl.history(table.assign(sparsity=np.where(table["epoch"] < 10, 0.99796, 0.99816)))
    part = pl.history(table.assign(sparsity=np.where(table["epoch"] < 10, 0.88, 0.96)))[1].get_ylim()
    assert 80 < part[0] < 88 and 96 < part[1] < 101
    low, high = share.get_ylim()
    assert 99.7 < low < 99.796 and 99.816 < high < 99.9
    share.figure.canvas.draw()
    ticks = [float(label.get_text()) for label in share.get_yticklabels() if label.get_text()]
    assert len(set(ticks)) > 1 and all(99 < tick < 100 for tick in ticks)  # no offset to be added in one's head


def test_history_without_validation_or_prunings(adata) -> None:
    table = adata.uns["dynamics"]["history"].assign(validation_loss=np.nan, pruned=False)
    loss, _ = pl.history(table)
    assert [found.get_label() for found in loss.get_lines() if not found.get_label().startswith("_")] == [
        "training (median)"
    ]


# sparsity_path, lambdas


def test_sparsity_path_draws_means_with_a_place_for_zero(lambda_table) -> None:
    loss, share = pl.sparsity_path(lambda_table, chosen=1e-2)
    np.testing.assert_allclose(line(loss, "training").get_xdata(), [0, 1e-3, 1e-2, 1e-1])
    np.testing.assert_allclose(line(loss, "training").get_ydata(), lambda_table.groupby("lambda")["train_loss"].mean())
    np.testing.assert_allclose(line(share, "weights").get_ydata(), [0, 30, 60, 90])
    assert share.get_xscale() == "symlog" and loss.get_yscale() == "log"
    assert len(loss.collections) == 2 and not share.collections  # bands where the repeats differ
    assert set(line(loss, "chosen").get_xdata()) == {1e-2}


def test_sparsity_path_without_zero_is_logarithmic_and_needs_some_column(lambda_table) -> None:
    positive = lambda_table[lambda_table["lambda"] > 0]
    assert pl.sparsity_path(positive.drop(columns="feature_sparsity"))[1].get_xscale() == "log"
    share = pl.sparsity_path(
        pd.DataFrame({"lambda": np.geomspace(0.15, 2.6, 9), "test_loss": 1.0, "feature_sparsity": 0.5})
    )[1]
    share.figure.canvas.draw()
    low, high = share.get_xlim()
    labels = share.get_xticklabels(which="both")
    named = [label.get_text() for label in labels if low <= label.get_position()[0] <= high]
    assert [name for name in named if name] == ["0.2", "0.5", "1", "2"]  # no labels of minor ticks, which overlap
    with pytest.raises(ValueError, match="none of the columns"):
        pl.sparsity_path(lambda_table[["lambda"]])
    with pytest.raises(ValueError, match="no column 'lambda'. Did you mean 'Lambda'"):
        pl.sparsity_path(lambda_table.rename(columns={"lambda": "Lambda"}))


def test_one_lambda_is_a_line_with_its_errors() -> None:
    table = pd.DataFrame({"l1": [0.5, 0.0, 0.95], "l2": [0.5, 0.0, 0.95], "mean": [2e-3, 4e-3, 3e-3], "se": 1e-4})
    ax = pl.lambdas(table.assign(chosen=[True, False, False]))
    line = ax.lines[0]
    np.testing.assert_allclose(line.get_xdata(), [0, 0.5, 0.95])
    np.testing.assert_allclose(line.get_ydata(), [4, 2, 3])  # in units of 1e-3, as the label says
    assert "10^{-3}" in ax.get_ylabel()
    (mark,) = [part for part in ax.collections if part.get_gid() == "chosen"]
    np.testing.assert_allclose(np.asarray(mark.get_offsets(), dtype=float), [[0.5, 2]])


def test_lambdas_frames_the_chosen_pair_and_writes_the_means(grid_table) -> None:
    ax = pl.lambdas(grid_table)
    (frame,) = [patch for patch in ax.patches if patch.get_gid() == "chosen"]
    column, row = np.add(frame.get_xy(), 0.5).astype(int)
    assert ax.get_xticklabels()[column].get_text() == "0.05" and ax.get_yticklabels()[row].get_text() == "0.95"
    assert ax.images[0].get_array()[row, column] == pytest.approx(1.5)  # in units of 1e-3, as the bar says
    assert "10^{-3}" in ax.figure.axes[-1].get_ylabel()
    assert len(ax.texts) == 6 and any("1.5" in text.get_text() and "± 0.1" in text.get_text() for text in ax.texts)


def test_settings_that_stopped_early_are_faint_and_say_when(grid_table) -> None:
    table = grid_table.assign(finished=[True, False, True, True, False, False], epochs=[200, 47, 200, 200, 14, 14])
    ax = pl.lambdas(table)
    alpha = ax.images[0].get_alpha()  # rows: lambda2 from high to low
    np.testing.assert_array_equal(alpha == 1, [[False, True, False], [True, True, False]])
    early = sorted(text.get_text() for text in ax.texts if "epoch" in text.get_text())
    assert early == ["4\nepoch 47", "5\nepoch 14", "6\nepoch 14"] and "stopped early" in ax.get_title(loc="left")
    line = pd.DataFrame({"l1": [0.0, 0.5, 0.95], "mean": [4e-3, 2e-3, 3e-3], "se": np.nan, "epochs": [98, 140, 140]})
    ax = pl.lambdas(line.assign(l2=line["l1"], finished=[False, True, True], chosen=[False, True, False]))
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [0.5, 0.95])  # the curve is of finished trainings alone
    assert [text.get_text() for text in ax.texts] == ["98"]


# benchmark


def test_benchmark_rows_values_and_directions(benchmark_table) -> None:
    accuracy, error = pl.benchmark(benchmark_table)
    methods = [label.get_text() for label in accuracy.get_yticklabels()]
    assert methods == ["prior alone", "DASH", "IMP"]  # best first by the first metric
    assert accuracy.get_xlabel() == "higher is better" and error.get_xlabel() == "lower is better"
    drawn = {container.get_label(): container for container in accuracy.containers}
    assert set(drawn) == {"ours", "paper", "baseline"}
    np.testing.assert_allclose(sorted(drawn["paper"].lines[0].get_xdata()), [70.9, 90.7])
    # ours and the paper's stand apart in the same row
    ours, paper = drawn["ours"].lines[0].get_ydata()[0], drawn["paper"].lines[0].get_ydata()
    assert np.round(ours) == 1 and 0 < np.abs(paper - ours).min() < 0.5
    bars = drawn["ours"].lines[2][0].get_segments()[0]
    np.testing.assert_allclose(bars[:, 0], [89.6, 90.6])


def test_benchmark_choices(benchmark_table) -> None:
    ax = pl.benchmark(
        benchmark_table,
        metrics=["test MSE"],
        methods=["IMP", "DASH"],
        palette={"ours": "k", "paper": "r", "baseline": "b"},
    )
    assert [label.get_text() for label in ax.get_yticklabels()] == ["IMP", "DASH"]
    assert to_hex(ax.containers[0].lines[0].get_color()) == "#000000"
    with pytest.raises(ValueError, match="Unknown metric 'test mse'.* Did you mean 'test MSE'"):
        pl.benchmark(benchmark_table, metrics=["test mse"])
    with pytest.raises(ValueError, match="palette has no colour for 'baseline'"):
        pl.benchmark(benchmark_table, palette={"ours": "k", "paper": "r"})


def test_benchmark_of_wide_ranges_is_logarithmic(benchmark_table) -> None:
    benchmark_table.loc[len(benchmark_table)] = ["none", "test MSE", 1.0, 0.0, "paper"]
    assert pl.benchmark(benchmark_table, metrics=["test MSE"]).get_xscale() == "log"


# trends


def test_trends_draw_cells_bins_and_the_fitted_curve(adata) -> None:
    (ax,) = [pl.trends(adata, "GENE3")]
    series = adata.uns["dynamics"]["series"]
    at = adata.var_names.get_loc("GENE3")
    curve = ax.get_lines()[0]
    np.testing.assert_allclose(curve.get_ydata(), series["fitted"][:, at])
    cells, bins = ax.collections
    np.testing.assert_allclose(cells.get_offsets()[:, 0], adata.obs["dynamics_position"])
    np.testing.assert_allclose(cells.get_offsets()[:, 1], adata[:, "GENE3"].X.toarray()[:, 0], rtol=1e-6)
    np.testing.assert_allclose(bins.get_offsets()[:, 1], series["states"][:, at])
    assert bins.get_sizes()[0] < bins.get_sizes()[-1]  # more cells, larger circle
    assert ax.get_title(loc="left") == "GENE3"


def test_trends_shade_what_was_held_out(adata) -> None:
    ax = pl.trends(adata, "TF0")
    spans = sorted(vertices(patch) for patch in ax.patches if patch.get_gid() == "held out")
    np.testing.assert_allclose(spans, [(3, 4), (6, 8)])  # bins 3, and 6 with 7, half-way to their neighbours
    labels = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert labels == ["cells", "observed (bins)", "model", "time window held out of the fit"]


def test_trends_are_drawn_on_the_users_time_where_it_is_known(adata) -> None:
    adata.uns["dynamics"]["params"]["model_time"] = True
    ax = pl.trends(adata, "TF0")
    assert ax.get_xlabel() == "dpt_pseudotime"
    np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 0], adata.obs["dpt_pseudotime"], atol=1e-9)
    np.testing.assert_allclose(ax.get_lines()[0].get_xdata(), adata.uns["dynamics"]["series"]["time"] / 10, atol=0.02)
    adata.obs["dpt_pseudotime"] = np.random.default_rng(0).permutation(adata.obs["dpt_pseudotime"])
    assert pl.trends(adata, "TF0").get_xlabel() == "rank of dpt_pseudotime (0 to 10)"


def test_the_axis_of_a_gene_begins_at_zero_unless_its_values_do_not(adata) -> None:
    assert pl.trends(adata, "TF0").get_ylim()[0] == 0
    adata.uns["dynamics"]["series"]["states"] = adata.uns["dynamics"]["series"]["states"] - 5
    assert pl.trends(adata, "TF0").get_ylim()[0] < 0


def test_the_legend_of_trends_can_be_left_out(adata) -> None:
    assert not pl.trends(adata, "TF0", legend_loc=None).figure.legends
    ax = pl.trends(adata, "TF0", legend_loc="upper right")
    assert not ax.figure.legends and ax.get_legend() is not None


def test_a_loss_of_a_narrow_range_has_a_linear_axis(adata) -> None:
    assert pl.history(adata)[0].get_yscale() == "log"
    table = pd.DataFrame({"epoch": range(20), "train_loss": np.linspace(0.02, 0.012, 20), "model": 0})
    loss, _ = pl.history(table)
    assert loss.get_yscale() == "linear" and 3 <= len(loss.get_yticks()) <= 8


@pytest.mark.parametrize("most", [0.0291, 0.0263, 0.0347])
def test_the_ticks_of_a_history_are_round(adata, most: float) -> None:
    table = pd.DataFrame({"epoch": range(400), "train_loss": np.linspace(most, 0.019, 400), "model": 0})
    table["sparsity"] = np.linspace(0.968, 0.996, 400)
    loss, share = pl.history(table)
    for axis in (loss.xaxis, loss.yaxis, share.yaxis):
        step = np.diff(axis.get_majorticklocs()).min()
        leading = step / 10 ** np.floor(np.log10(step * (1 + 1e-9)))
        assert round(leading, 6) in (1, 2, 5)
    low, high = share.get_ylim()
    assert sum(low <= tick <= high for tick in share.get_yticks()) >= 3
    assert pl.history(table.assign(sparsity=np.linspace(0, 0.9, 400)))[1].get_yticks().tolist() == [0, 50, 100]


def test_trends_of_held_out_trajectories_are_dashed_and_open(adata) -> None:
    series = adata.uns["dynamics"]["series"]
    series |= {"trajectory": np.repeat(["a", "b"], 5), "split": np.repeat(["train", "test"], 5)}
    ax = pl.trends(adata, "TF0", cells=False, palette={"a": "#ff0000", "b": "#0000ff"})
    trained, held_out = ax.get_lines()
    assert (trained.get_linestyle(), held_out.get_linestyle()) == ("-", "--")
    assert (trained.get_color(), held_out.get_color()) == ("#ff0000", "#0000ff")
    np.testing.assert_allclose(ax.collections[1].get_facecolor()[0, :3], 1)
    assert not [patch for patch in ax.patches if patch.get_gid() == "held out"]
    assert "held-out trajectory" in [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert len(pl.trends(adata, "TF0", trajectories="b").get_lines()) == 1
    with pytest.raises(ValueError, match="Unknown trajectory 'c'"):
        pl.trends(adata, "TF0", trajectories=["c"])


def test_bootstraps_are_a_band_around_the_bins_of_their_trajectory(adata) -> None:
    series = adata.uns["dynamics"]["series"]
    names = np.repeat(["all", "all#1", "all#2"], len(series["time"]))
    tripled = {name: np.tile(series[name], 3) for name in ("time", "split", "n_cells")}
    states = np.tile(series["states"], (3, 1)) + np.repeat([0.0, 0.1, -0.1], len(series["time"]))[:, None]
    series |= tripled | {
        "origin": np.repeat(["all"], len(names)),
        "trajectory": names,
        "states": states,
        "fitted": states,
    }
    ax = pl.trends(adata, "TF0")
    (band,) = [found for found in ax.collections if found.get_gid() == "resampled"]
    assert len(ax.get_lines()) == 1
    n = len(series["time"]) // 3
    corners = band.get_paths()[0].vertices
    for time, state in zip(series["time"][:n], states[:n, 0], strict=True):
        ends = np.unique(corners[np.isclose(corners[:, 0], time), 1])
        np.testing.assert_allclose([ends.min(), ends.max()], state + np.array([-2, 2]) * np.std([0.1, -0.1], ddof=1))
    labels = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert labels == [
        "cells",
        "observed (bins)",
        "model",
        "± 2 sd of the bins (bootstrap)",
        "time window held out of the fit",
    ]


def test_trends_choose_the_genes_that_change_and_few_of_many_trajectories(adata, caplog) -> None:
    series = adata.uns["dynamics"]["series"]
    series |= {"trajectory": np.array([f"t{i}" for i in range(10)]), "split": np.array(["train"] * 6 + ["test"] * 4)}
    with caplog.at_level("INFO", logger="scdash"):
        axes = pl.trends(adata)
    most = adata.var_names[np.argsort(-series["states"].std(axis=0))[:8]]
    assert [ax.get_title(loc="left") for ax in axes] == list(most)
    assert len(axes[0].get_lines()) == 6 and "Drawing 6 of 10" in caplog.text
    styles = [found.get_linestyle() for found in axes[0].get_lines()]
    assert styles.count("--") == 3  # held-out trajectories are among those shown


def test_trends_leave_out_cells_on_another_scale_of_time(adata, caplog) -> None:
    del adata.obs["dynamics_position"]  # obs runs from 0 to 1, the fit from 0 to 10
    for factor in (1, 1000):
        adata.obs["dpt_pseudotime"] *= factor
        caplog.clear()
        with caplog.at_level("INFO", logger="scdash"):
            ax = pl.trends(adata, "TF0")
        assert len(ax.collections) == 1 and "not on the time axis" in caplog.text
    adata.obs["dpt_pseudotime"] /= 100  # now they share the scale
    assert len(pl.trends(adata, "TF0").collections) == 2


def test_trends_of_a_time_course_draw_its_states_once(adata) -> None:
    binned = adata[:10].copy()
    series = binned.uns["dynamics"]["series"]
    del binned.obs["dynamics_position"]
    binned.obs["time"] = series["time"]
    series["cell_time"] = "time"
    assert len(pl.trends(binned, "TF0").collections) == 1


def test_trends_errors_name_the_gene_or_the_slot(adata) -> None:
    with pytest.raises(ValueError, match="genes: 'gene3' is not in the model. Did you mean 'GENE3'"):
        pl.trends(adata, ["TF0", "gene3"])
    with pytest.raises(ValueError, match="genes is empty"):
        pl.trends(adata, [])
    del adata.uns["dynamics"]["series"]
    with pytest.raises(KeyError, match="holds no 'series'"):
        pl.trends(adata)
    assert not plt.get_fignums()


def test_trends_read_the_layer_that_was_fitted(adata) -> None:
    adata.layers["log"] = adata.X * 3
    adata.uns["dynamics"]["params"]["layer"] = "log"
    at_layer = pl.trends(adata, "TF0").collections[0].get_offsets()[:, 1]
    at_x = pl.trends(adata, "TF0", layer="log").collections[0].get_offsets()[:, 1]
    np.testing.assert_allclose(at_layer, adata[:, "TF0"].layers["log"].toarray()[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(at_layer, at_x)
    with pytest.raises(KeyError, match="No layer 'lok'"):
        pl.trends(adata, "TF0", layer="lok")


def test_trends_after_subsetting_genes_still_draw_the_model(adata) -> None:
    kept = adata[:, ["TF0", "GENE3"]].copy()
    assert len(pl.trends(kept, ["TF0", "GENE3"])) == 2
    with pytest.raises(ValueError, match="genes: 'GENE4'"):
        pl.trends(kept, ["GENE4"])


def test_a_table_must_be_a_dataframe() -> None:
    with pytest.raises(TypeError, match="must be a pandas DataFrame, found dict"):
        pl.sparsity_path({"lambda": [1]})
