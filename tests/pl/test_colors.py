"""Colours of categories in every form that `uns["<column>_colors"]` has, for every figure that colours by a column."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

import scdash
from scdash import pl
from scdash._core.drawing import stored_colors

NAMES = ["a", "b"]
RED, BLUE = "#ff0000", "#0000ff"


@pytest.mark.parametrize(
    "found",
    [
        [RED, BLUE],
        ("red", "blue"),
        np.array([RED, BLUE]),
        np.array([b"#ff0000", b"#0000ff"], dtype=object),
        {"a": RED, "b": BLUE, "gone": "green"},
        {"b": np.array(BLUE), "a": np.array(RED)},
        [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)],
        [RED, BLUE, "green"],
    ],
    ids=str,
)
def test_lists_and_dicts_name_the_colours(found: Any) -> None:
    assert stored_colors({"kind_colors": found}, "kind", NAMES) == {"a": RED, "b": BLUE}


@pytest.mark.parametrize("found", ["red", RED, np.array(RED), [RED], b"#ff0000"], ids=str)
def test_one_string_is_the_colour_of_one_category(found: Any, messages: Callable[[], str]) -> None:
    assert stored_colors({"kind_colors": found}, "kind", ["a"]) == {"a": RED}
    assert stored_colors({"kind_colors": found}, "kind", NAMES) is None
    assert "uns['kind_colors'] is not used: it has 1 colour(s) for 2 categories" in messages()


@pytest.mark.parametrize("found", [{"a": RED}, ["red", "no such colour"], [1.5, "x"], 3, [None, None]], ids=str)
def test_what_names_no_colours_is_left_aside_with_a_hint(found: Any, messages: Callable[[], str]) -> None:
    assert stored_colors({"kind_colors": found}, "kind", NAMES) is None
    assert "uns['kind_colors'] is not used" in messages()


def test_nothing_stored_is_nothing_to_say(messages: Callable[[], str]) -> None:
    assert stored_colors({}, "kind", NAMES) is None and stored_colors({}, None, NAMES) is None
    assert not messages()


def _legend(ax: Any) -> dict[str, str]:
    handles, labels = ax.get_legend_handles_labels()
    return {name: to_hex(handle.get_facecolor()[0]) for handle, name in zip(handles, labels, strict=True)}


def _shift(adata: Any) -> None:
    shift = np.full(adata.shape, np.nan)
    shift[:, adata.var["dynamics_genes"].to_numpy(bool)] = 0.1
    adata.layers["dynamics_shift"] = shift


@pytest.mark.parametrize("name", ["embedding", "velocity", "perturbation_shift"])
@pytest.mark.parametrize("form", ["list", "dict", "string", "short"])
def test_figures_of_cells_use_them_or_leave_them(adata: Any, name: str, form: str) -> None:
    _shift(adata)
    adata.obs["half"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 2, "b", "a"))
    forms = {"list": [RED, BLUE], "dict": {"b": BLUE, "a": RED}, "string": "red", "short": [RED]}
    adata.uns["half_colors"] = forms[form]
    drawn = _legend(getattr(pl, name)(adata, "half", show=False))
    assert (drawn == {"a": RED, "b": BLUE}) == (form in ("list", "dict"))
    plt.close("all")


@pytest.mark.parametrize("name", ["embedding", "velocity", "perturbation_shift"])
def test_several_colours_are_several_panels(adata: Any, name: str, tmp_path: Path) -> None:
    import scanpy as sc

    _shift(adata)
    adata.obs["half"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 2, "b", "a"))
    gene = str(adata.var_names[0])
    before, sc.settings.figdir = sc.settings.figdir, tmp_path
    try:
        axes = getattr(pl, name)(adata, ["half", gene, "half"], ncols=2, show=False, save="_two.png")
    finally:
        sc.settings.figdir = before
    assert len(axes) == 3 and (tmp_path / f"{name}_two.png").stat().st_size > 0
    tops = [round(ax.get_position().y0, 3) for ax in axes]
    assert tops[0] == pytest.approx(tops[1], abs=0.02) and tops[2] < tops[0] - 0.1  # two panels a row
    with pytest.raises(ValueError, match="color is empty"):
        getattr(pl, name)(adata, [], show=False)
    plt.close("all")


def test_trends_take_the_colours_of_the_lineages(adata: Any) -> None:
    names = list(pd.unique(np.asarray(adata.uns["dynamics"]["series"]["trajectory"]).astype(str)))
    adata.obs["lineage"] = pd.Categorical([names[i % len(names)] for i in range(adata.n_obs)], categories=names)
    adata.uns["dynamics"]["params"] = dict(adata.uns["dynamics"]["params"]) | {"trajectory_key": "lineage"}
    colors = {name: f"#{40 + i:02x}8040" for i, name in enumerate(names)}
    adata.uns["lineage_colors"] = colors
    ax = pl.trends(adata, [str(adata.uns["dynamics"]["genes"][0])], trajectories=names[:2], cells=False, show=False)
    drawn = {to_hex(line.get_color()) for line in ax.get_lines()}
    assert {colors[name] for name in names[:2]} <= drawn


@pytest.mark.parametrize("count", [2, 9, 20])  # 20: more than the palette has
def test_the_html_report_has_the_default_colours_of_the_figures(adata: Any, tmp_path: Path, count: int) -> None:
    entry = adata.uns["dynamics"]
    names = [f"t{i:02d}" for i in range(count)]
    series = entry["series"]
    rows = np.arange(len(series["time"]) * count) % len(series["time"])
    entry["series"] = {
        name: values if name == "cell_time" else np.asarray(values)[rows] for name, values in series.items()
    }
    entry["series"]["trajectory"] = np.repeat(names, len(series["time"]))
    entry["errors"] = pd.DataFrame({"model": ["model"], "test_mse": [0.01]})
    page = scdash.get.report_html(adata, tmp_path / "fit.html").read_text()
    for name in names[: min(count, 6)]:
        ax = pl.trends(adata, str(entry["genes"][0]), trajectories=name, cells=False, show=False)
        (color,) = {to_hex(line.get_color()) for line in ax.get_lines()}
        assert f'color:{color}">&#9632;</span> {name}' in page


def test_axes_of_a_subfigure_give_the_whole_figure(adata: Any, tmp_path: Path) -> None:
    whole = plt.figure()
    part, _ = whole.subfigures(1, 2)
    figure = pl.embedding(adata, ax=part.subplots(), return_fig=True)
    assert figure is whole
    figure.savefig(tmp_path / "whole.png")
