"""What the pictures of this part show: marks, labels and stars follow the tables they were drawn from."""

import inspect

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scdash._core.errors import NotFittedError
from scdash.pl._coregulation import coregulation
from scdash.pl._influence import influence
from scdash.pl._network import network, networks
from scdash.pl._pathways import pathways, readable
from scdash.pl.perturbations.knockouts import knockout_trends, knockout_volcano
from scdash.pl.perturbations.perturbation_scores import perturbation_scores
from scdash.pl.perturbations.perturbation_shift import perturbation_shift as perturbation
from scdash.tl._influence import gene_influence
from scdash.tl._pathways import pathways as test_pathways
from scdash.tl._perturb import perturb
from scdash.tl._perturbation_scores import perturbation_scores as score
from scdash.tl._perturbation_shift import perturbation_shift

test_pathways.__test__ = False
SETS = {"HALLMARK_DRIVER_GENES": ["G3", "G10", "G6"], "GOBP_DNA_REPAIR": [f"G{i}" for i in range(11, 17)],
        "a very long name of a gene set that nobody can read in a figure (GO:0000001)": ["G0", "G1", "G2", "G7"]}  # fmt: skip


@pytest.fixture
def everything(fitted, make_fit):
    fitted.obsm["X_umap"] = np.column_stack([np.arange(40.0), np.sin(np.arange(40) / 5)])
    make_fit("other", fitted, seed=3)
    gene_influence(fitted, n_starts=5)
    test_pathways(fitted, SETS, min_size=3)
    score(fitted)
    perturbation_shift(fitted, "G3")
    yield fitted
    plt.close("all")


def draw(name, adata, **arguments):
    calls = {
        "pathways": lambda: pathways(adata, **arguments),
        "influence": lambda: influence(adata, **arguments),
        "perturbation_shift": lambda: perturbation(adata, "dpt_pseudotime", **arguments),
        "perturbation_scores": lambda: perturbation_scores(adata, **arguments),
        "knockout_trends": lambda: knockout_trends(perturb(adata, "G3"), **arguments),
        "network": lambda: network(adata, **arguments),
        "coregulation": lambda: coregulation(adata, **arguments),
        "networks": lambda: networks(adata, ["dynamics", "other"], **arguments),
    }
    return calls[name]()


FUNCTIONS = {f.__name__: f for f in (pathways, influence, perturbation, perturbation_scores, knockout_trends, networks)}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_conventions(name, everything):
    before = dict(mpl.rcParams)
    found = draw(name, everything, show=False)
    assert isinstance(found, Axes) or all(isinstance(one, Axes) for one in found)
    assert isinstance(draw(name, everything, return_fig=True), Figure)
    _, ax = plt.subplots(figsize=(9, 7))
    draw(name, everything, ax=ax)
    assert ax.has_data() or ax.child_axes
    assert dict(mpl.rcParams) == before
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    assert {"ax", "show", "return_fig"} <= set(parameters)
    assert {"title", "figsize", "save"} <= set(parameters)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_labels_lie_inside_the_figure(name, everything):
    figure = draw(name, everything, return_fig=True)
    figure.canvas.draw()
    canvas, renderer = figure.bbox, figure.canvas.get_renderer()
    for ax in figure.axes:
        ticks = [
            tick.label1
            for axis in (ax.xaxis, ax.yaxis)
            for tick in axis.get_major_ticks()
            if axis.get_view_interval().min() <= tick.get_loc() <= axis.get_view_interval().max()  # others: not drawn
        ]
        for text in [*ticks, ax.title, ax.xaxis.label, ax.yaxis.label]:
            if text.get_visible() and text.get_text():
                box = text.get_window_extent(renderer)
                assert canvas.x0 - 2 <= box.x0, (text.get_text(), box)
                assert box.x1 <= canvas.x1 + 2, (text.get_text(), box)


@pytest.mark.parametrize("name", [*FUNCTIONS, "network", "coregulation"])
def test_every_word_of_a_figure_is_inside_it_and_large_enough_to_read(name, everything):
    figure = draw(name, everything, return_fig=True)
    figure.canvas.draw()
    renderer, canvas = figure.canvas.get_renderer(), figure.bbox
    words = legends_and_titles(figure)
    assert words
    for text in words:
        box = text.get_window_extent(renderer)
        assert text.get_fontsize() >= 6, text.get_text()
        assert canvas.x0 - 2 <= box.x0 and box.x1 <= canvas.x1 + 2, (text.get_text(), box)
        assert canvas.y0 - 2 <= box.y0 and box.y1 <= canvas.y1 + 2, (text.get_text(), box)


def legends_and_titles(figure):
    """Every text that is drawn wherever the axis limits lie: titles, axis labels, those of legends."""
    found = [
        text
        for legend in [*figure.legends, *(a.get_legend() for a in figure.axes)]
        if legend
        for text in legend.get_texts()
    ]
    for ax in figure.axes:
        titles = [ax.title, ax._left_title, ax._right_title, ax.xaxis.label, ax.yaxis.label]
        found += [text for text in titles if text.get_visible() and text.get_text()]
    return found


def test_pathway_colours_and_stars_follow_the_table(everything):
    table = everything.uns["pathways"]["table"]
    table["bonferroni"] = np.where((table["fit"] == "dynamics") & (table["pathway"] == "GOBP_DNA_REPAIR"), 0.004, 0.9)
    ax = pathways(everything, show=False)
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "dynamics",
        "prior out-degree",
        "correlation with time",
    ]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert "DNA repair" in labels
    assert "Driver genes" in labels
    stars = {
        (round(t.get_position()[0], 2), round(t.get_position()[1])): t.get_text() for t in ax.texts if t.get_text()
    }
    assert stars == {(0.0, labels.index("DNA repair")): "**"}
    drawn = ax.collections[0].get_array().ravel()
    z = table[table["fit"] == "dynamics"].set_index("pathway")["z"]
    assert drawn[labels.index("DNA repair")] == pytest.approx(z["GOBP_DNA_REPAIR"])
    assert ax.get_xticks()[1] > 1  # controls stand apart


def test_sets_that_only_a_control_finds_are_drawn_below():
    rows = [("fit", False, "A", 0.2), ("fit", False, "B", 0.9), ("time", True, "A", 0.9), ("time", True, "B", 0.001)]
    table = pd.DataFrame(rows, columns=["fit", "control", "pathway", "p_value"]).assign(z=1.0)
    for p, expected in ((0.01, ["A", "B"]), (0.5, ["A"])):
        ax = pathways(table.assign(bonferroni=np.where(table["pathway"] == "B", p, 1.0)), n_top=1, show=False)
        assert [label.get_text() for label in ax.get_yticklabels()] == expected


def test_pathways_of_other_methods_show_minus_log_p(everything):
    test_pathways(everything, SETS, min_size=3, method="over_representation", n_top=3)
    ax = pathways(everything, show=False, correction="fdr_bh")
    assert (ax.collections[0].get_array() >= 0).all()


def test_readable_names():
    assert readable("HALLMARK_E2F_TARGETS") == "E2F targets"
    assert readable("REACTOME_RUNX1_REGULATES_DIFFERENTIATION") == "RUNX1 regulates differentiation"
    assert readable("muscle contraction (GO:0006936)") == "Muscle contraction"
    assert readable("mRNA splicing") == "mRNA splicing"
    short = readable("x" * 100, 30)
    assert len(short) == 30
    assert "…" in short


def test_influence_ranks_and_colours_by_sign(everything):
    everything.varm["dynamics_influence"].loc["G6", "signed"] = -1.0
    ax = influence(everything, n_top=3, show=False)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["G3", "G10", "G6"]
    dots = ax.collections[-1]
    np.testing.assert_allclose(
        dots.get_offsets()[:, 0], everything.varm["dynamics_influence"].loc[["G3", "G10", "G6"], "absolute"]
    )
    assert not np.array_equal(dots.get_facecolors()[0], dots.get_facecolors()[2])
    curves = influence(everything, by_time=True, n_top=2, show=False)
    assert len(curves.lines) == 2
    np.testing.assert_allclose(curves.lines[0].get_ydata(), everything.uns["dynamics_influence"]["absolute"][3])


def test_perturbation_scores_stand_beside_the_expression_of_the_gene(everything):
    score_axis, expression_axis, change_axis = perturbation_scores(everything, lineage="a", n_top=2, show=False)
    table = everything.uns["dynamics_perturbation_scores"]["table"]
    part = table[table["lineage"] == "a"].sort_values("score", ascending=False).head(2)
    assert [t.get_text() for t in score_axis.get_yticklabels()] == part["gene"].tolist()
    np.testing.assert_allclose(score_axis.collections[-1].get_offsets()[:, 0], part["score"])
    for axis, column in ((expression_axis, "expression"), (change_axis, "change")):
        np.testing.assert_allclose([bar.get_width() for bar in axis.patches], part[column])


def test_scores_of_two_lineages_are_drawn_and_named_one_by_one(everything):
    table = everything.uns["dynamics_perturbation_scores"]["table"]
    figure = perturbation_scores(everything, n_top=2, return_fig=True)
    score_axis, expression_axis, change_axis = figure.axes
    first = score_axis.get_yticklabels()[0].get_text()
    named = {text.get_text(): line.get_color() for text, line in zip(figure.legends[0].get_texts(),
             figure.legends[0].legend_handles, strict=True)}  # fmt: skip
    assert named["a"] != named["b"]
    for name in ("a", "b"):
        row = table[(table["gene"] == first) & (table["lineage"] == name)].iloc[0]
        for axis, column in ((expression_axis, "expression"), (change_axis, "change")):
            widths = [bar.get_width() for bar in axis.patches if mpl.colors.to_hex(bar.get_facecolor()) == named[name]]
            assert widths[0] == pytest.approx(row[column])
        drawn = [float(x) for marks in score_axis.collections for x in np.ma.getdata(marks.get_offsets())[:, 0]
                 if len(marks.get_facecolor()) and mpl.colors.to_hex(marks.get_facecolor()[0]) == named[name]]  # fmt: skip
        assert any(x == pytest.approx(row["score"]) for x in drawn)
    one = perturbation_scores(everything, lineage="a", n_top=2, return_fig=True)
    assert "a" not in [text.get_text() for text in one.legends[0].get_texts()]


@pytest.mark.parametrize("name", ["influence", "perturbation_scores", "knockout_trends"])
def test_legends_cover_no_data(name, everything):
    figure = draw(name, everything, return_fig=True)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert not any(legend.get_window_extent().overlaps(axis.get_window_extent()) for axis in figure.axes)
    assert all(axis.get_legend() is None for axis in figure.axes)
    own = draw(name, everything, ax=plt.figure().subplots(), return_fig=True)
    assert not own.legends


def test_the_highest_gene_of_a_volcano_is_drawn_whole(everything):
    perturbed = perturb(everything, "G3")
    perturbed.uns["change"]["spread"] *= 1e-3  # far above 2: the axis is logarithmic there
    panel = knockout_volcano(perturbed, show=False)
    height = np.ma.getdata(panel.collections[0].get_offsets())[:, 1].max()
    assert panel.get_yscale() == "symlog" and panel.get_ylim()[1] > 1.2 * height and panel.get_ylim()[0] == 0


def test_genes_without_a_target_are_counted_and_not_drawn(everything):
    score(everything, genes=["G3", "G0", "G1"])
    axis = perturbation_scores(everything, show=False)[0]
    assert [t.get_text() for t in axis.get_yticklabels()] == ["G3"]
    assert "2 without a target" in axis.get_title(loc="left")
    score(everything, genes=["G0", "G1"])
    with pytest.raises(ValueError, match="no score to draw"):
        perturbation_scores(everything, show=False)


def test_knockout_trends_draw_both_conditions(everything):
    perturbed = perturb(everything, "G3")
    ax = knockout_trends(perturbed, "G12", show=False)
    assert len(ax.lines) == 4  # two trajectories, two conditions
    rows = (perturbed.obs["trajectory"] == "a") & (perturbed.obs["condition"] == "perturbed")
    np.testing.assert_allclose(ax.lines[1].get_ydata(), np.asarray(perturbed[rows, "G12"].X).ravel(), rtol=1e-6)
    assert "G3" not in [p.get_title(loc="left") for p in knockout_trends(perturbed, show=False)]


def test_missing_results_say_what_to_run(fitted):
    with pytest.raises(NotFittedError, match="tl.pathways"):
        pathways(fitted)
    with pytest.raises(NotFittedError, match="gene_influence"):
        influence(fitted)
    with pytest.raises(NotFittedError, match="perturbation_scores"):
        perturbation_scores(fitted)
    fitted.obsm["X_umap"] = np.zeros((40, 2))
    with pytest.raises(NotFittedError, match="perturbation_shift"):
        perturbation(fitted)
    with pytest.raises(ValueError, match="scdash.tl.perturb returns"):
        knockout_trends(fitted)
    with pytest.raises(ValueError, match="keys"):
        networks(fitted, [])


def test_bad_choices_are_named(everything):
    with pytest.raises(ValueError, match="correction"):
        pathways(everything, correction="holm")
    with pytest.raises(ValueError, match="fit 'dynamic'"):
        pathways(everything, fits=["dynamic"])
    with pytest.raises(ValueError, match="no column"):
        pathways(pd.DataFrame({"fit": ["a"]}))
