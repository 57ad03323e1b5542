"""What every figure has in common: arguments, what is returned, and what is left alone."""

import inspect
import subprocess
import sys
from dataclasses import fields
from typing import get_args

import anndata as ad
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scdash import pl
from scdash.pl.shared import style
from scdash.pl.shared.options import OPTIONS
from scdash.pl.shared.points import Look, PointStyle

FIT = {
    "history": {},
    "effects": {"truth": "truth", "prior": "prior"},
    "coregulation": {"truth": "truth"},
    "masks": {},
    "trends": {"genes": ["TF0", "GENE3"]},
    "network": {"n_edges": 15},
    "heatmap": {"n_top": 9},
    "phase": {"genes": ["TF0", "GENE3"], "color": "stage"},
    "velocity": {"color": "stage", "kind": "grid"},
    "embedding": {"color": ["stage", "TF0"]},
}
TABLES = {"sparsity_path": "lambda_table", "lambdas": "grid_table", "benchmark": "benchmark_table"}
NO_FIGURE = {"project_velocity"}
# drawn from slots of other tools, whose own tests hold the same rules
ELSEWHERE = {
    "influence", "knockout_trends", "knockout_volcano", "networks", "pathways", "perturbation_fates", "perturbation_scores", "perturbation_shift",  # biology
    "modules", "perturbation",  # perturbode
    "feature_scores", "gene_selection", "sbnn", "training",  # sbnn
}  # fmt: skip
NAMES = [*FIT, *TABLES]


@pytest.fixture
def draw(request: pytest.FixtureRequest, adata: ad.AnnData):
    """Call a plotting function by name with arguments that suit it."""

    def call(name: str, data: object = None, **arguments: object) -> object:
        if name in TABLES:
            return getattr(pl, name)(request.getfixturevalue(TABLES[name]), **arguments)
        return getattr(pl, name)(adata if data is None else data, **(FIT[name] | arguments))

    return call


def test_every_public_function_is_covered() -> None:
    differing = set(NAMES) ^ (set(pl.__all__) - NO_FIGURE - ELSEWHERE)
    assert not differing, (
        f"list {sorted(differing)} in FIT, TABLES or ELSEWHERE of this file, as pl/__init__.pyi has it"
    )


@pytest.mark.parametrize("name", NAMES)
def test_signature(name: str) -> None:
    parameters = inspect.signature(getattr(pl, name)).parameters
    whole = {"title": None, "figsize": None, "ax": None, "show": None, "save": None, "return_fig": False}
    for argument, default in whole.items():
        assert parameters[argument].default is default
        assert parameters[argument].kind is inspect.Parameter.KEYWORD_ONLY
    positional = [p for p in parameters.values() if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert 1 <= len(positional) <= 2
    assert all(p.annotation is not inspect.Parameter.empty for p in parameters.values())
    documented = getattr(pl, name).__doc__
    assert all(argument in documented for argument in parameters)


def test_the_look_of_cells_is_one_record_for_all_embeddings() -> None:
    assert set(PointStyle.__annotations__) - set(OPTIONS) == {one.name for one in fields(Look)}
    for name in ("embedding", "velocity", "perturbation_shift", "phase"):
        assert get_args(inspect.signature(getattr(pl, name)).parameters["look"].annotation) == (PointStyle,)


@pytest.mark.parametrize("name", ["embedding", "velocity", "phase", "effects", "coregulation"])
def test_an_unknown_argument_is_refused_with_near_matches(draw, name: str) -> None:
    with pytest.raises(TypeError, match=rf"{name}\(\) got an unexpected keyword argument 'vmn'.*Did you mean .*'vmin'"):
        draw(name, vmn=0.0)
    assert not plt.get_fignums()


def test_a_phase_portrait_has_a_frame_always(draw) -> None:
    with pytest.raises(TypeError, match="frameon"):
        draw("phase", frameon=False)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_returned_drawn_and_nothing_else_is_touched(draw, name: str) -> None:
    before = dict(mpl.rcParams)
    figure = draw(name, return_fig=True)
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == [figure.number]
    figure.canvas.draw()  # layout and fonts work out
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize("name", NAMES)
def test_size_and_title_of_the_figure_are_those_asked_for(draw, name: str) -> None:
    figure = draw(name, figsize=(7.5, 5.5), title="Of my own", return_fig=True)
    np.testing.assert_allclose(figure.get_size_inches(), (7.5, 5.5))
    figure.canvas.draw()
    texts = [text for ax in figure.axes for place in ("left", "center") for text in [ax.get_title(loc=place)]]
    texts += [figure.get_suptitle()]
    assert any(text.splitlines()[:1] == ["Of my own"] for text in texts)
    ax = plt.figure().add_subplot()
    draw(name, title="Of my own", ax=ax)
    shown = [found for a in ax.figure.axes for found in [a, *a.child_axes]]
    assert any(found.get_title(loc="left").splitlines()[:1] == ["Of my own"] for found in shown)


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_saved_where_scanpy_saves_its_own(draw, name: str, tmp_path) -> None:
    import scanpy as sc

    before, sc.settings.figdir = sc.settings.figdir, tmp_path
    try:
        draw(name, save="_mine.png")
    finally:
        sc.settings.figdir = before
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}_mine.png"]


@pytest.mark.parametrize("name", NAMES)
def test_bad_titles_and_sizes_are_refused_before_anything_is_drawn(draw, name: str) -> None:
    with pytest.raises(ValueError, match="title has 30 entries"):
        draw(name, title=["too many"] * 30)
    with pytest.raises(ValueError, match="figsize must be"):
        draw(name, figsize=(0, 3))
    assert not plt.get_fignums()
    ax = plt.figure().add_subplot()
    with pytest.raises(ValueError, match="figsize would have no effect"):
        draw(name, figsize=(3, 3), ax=ax)
    assert not ax.has_data() and ax.axison


@pytest.mark.parametrize("name", NAMES)
def test_axes_are_returned_and_nothing_is_shown_without_a_screen(draw, name: str, monkeypatch) -> None:
    monkeypatch.setattr(plt, "show", lambda *a, **k: pytest.fail("shown on a backend without a screen"))
    for show in (None, False):
        found = draw(name, show=show)
        listed = found if isinstance(found, list) else [found]
        assert listed and all(isinstance(ax, Axes) for ax in listed)


@pytest.mark.parametrize("name", NAMES)
def test_a_given_axis_is_used(draw, name: str) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5))
    found = draw(name, ax=left)
    assert plt.get_fignums() == [figure.number]
    drawn = found if isinstance(found, list) else [found]
    assert all(ax.figure is figure for ax in drawn)
    assert not right.has_data()
    figure.canvas.draw()
    inside = left.get_position()
    for ax in drawn:
        box = ax.get_position()
        assert box.x0 >= inside.x0 - 0.01 and box.x1 <= inside.x1 + 0.01


def test_show_shows_once_and_returns_nothing(adata: ad.AnnData, monkeypatch) -> None:
    shown = []
    monkeypatch.setattr(plt, "show", lambda *a, **k: shown.append(plt.get_fignums()))
    assert pl.embedding(adata, show=True) is None
    monkeypatch.setattr(style, "is_interactive", lambda: True)
    assert pl.embedding(adata) is None
    assert len(shown) == 2
    assert isinstance(pl.embedding(adata, ax=plt.gca()), Axes)  # the caller's figure is the caller's to show
    assert len(shown) == 2


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("agg", False),
        ("pdf", False),
        ("module://matplotlib_inline.backend_inline", True),
        ("QtAgg", True),
        ("ipympl", True),
    ],
)
def test_what_counts_as_a_screen(monkeypatch, backend: str, expected: bool) -> None:
    monkeypatch.setattr(mpl, "get_backend", lambda: backend)
    assert style.is_interactive() is expected


@pytest.mark.parametrize("name", FIT)
def test_the_same_after_a_round_trip_through_h5ad(draw, adata: ad.AnnData, tmp_path, name: str) -> None:
    adata.write_h5ad(tmp_path / "fit.h5ad")
    figures = [draw(name, data, return_fig=True) for data in (adata, ad.read_h5ad(tmp_path / "fit.h5ad"))]
    images = []
    for figure in figures:
        figure.canvas.draw()
        images.append(np.asarray(figure.canvas.buffer_rgba()))
    np.testing.assert_array_equal(*images)


@pytest.mark.parametrize("name", FIT)
def test_the_data_are_left_alone(draw, adata: ad.AnnData, name: str) -> None:
    before = adata.copy()
    draw(name)
    assert list(adata.uns) == list(before.uns) and list(adata.obs) == list(before.obs)
    assert (adata.X != before.X).nnz == 0
    np.testing.assert_array_equal(adata.layers["dynamics_velocity"], before.layers["dynamics_velocity"])


@pytest.mark.parametrize("name", [name for name in FIT if name != "embedding"])
def test_without_a_fit_the_error_says_what_to_run_and_leaves_no_figure(draw, adata: ad.AnnData, name: str) -> None:
    del adata.uns["dynamics"]
    with pytest.raises(KeyError, match="Run `scdash.tl.fit_dynamics"):
        draw(name)
    assert not plt.get_fignums()


@pytest.mark.parametrize("name", NAMES)
def test_views_and_subsets_of_cells_are_drawn(draw, adata: ad.AnnData, name: str) -> None:
    draw(name, adata[::2])


def test_no_torch_is_imported() -> None:
    code = (
        "import sys; import matplotlib; matplotlib.use('Agg'); from scdash import pl;"
        "[getattr(pl, name) for name in pl.__all__]; assert 'torch' not in sys.modules, 'torch imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
