"""The drawn network: names never overlap, heads tell activation from repression, edges end at their boxes."""

import itertools
import os
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex

from scdash import pl
from scdash._core.layout import _shelves, arrange, route, separate
from scdash.pl.shared.style import ACTIVATION, REPRESSION


def tagged(ax, kind: str) -> dict[str, object]:
    """Artists by what follows "kind:" in their id."""
    artists = [*ax.patches, *ax.get_lines()]
    return {a.get_gid().split(":", 1)[1]: a for a in artists if (a.get_gid() or "").startswith(f"{kind}:")}


def overlaps(boxes) -> list[tuple[int, int]]:
    pairs = itertools.combinations(enumerate(boxes), 2)
    return [(i, j) for (i, a), (j, b) in pairs if a.overlaps(b) and a.intersection(a, b) is not None]


def crowded(n: int = 70) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    pairs = {(f"REGULATOR{a}", f"TARGET{b}") for a, b in zip(rng.zipf(1.6, n) % 6, rng.integers(0, 45, n), strict=True)}
    table = pd.DataFrame(sorted(pairs), columns=["source", "target"])
    return table.assign(weight=rng.normal(size=len(table)), in_prior=rng.random(len(table)) < 0.5)


@pytest.mark.parametrize("own", [True, False])
def test_names_do_not_overlap(own: bool) -> None:
    if own:
        ax = pl.network(crowded(), n_edges=70)
    else:
        _, ax = plt.subplots(figsize=(9, 7), layout="constrained")
        pl.network(crowded(), n_edges=70, ax=ax)
    ax.figure.canvas.draw()
    texts = [text.get_window_extent() for text in ax.texts]
    nodes = [box.get_window_extent() for box in tagged(ax, "node").values()]
    assert len(texts) == len(nodes) > 30
    assert not overlaps(texts) and not overlaps(nodes)
    # each name lies in its own box
    for text, node in zip(texts, nodes, strict=True):
        assert node.x0 <= text.x0 and text.x1 <= node.x1


def test_the_strongest_edges_are_drawn_with_their_signs(adata) -> None:
    ax = pl.network(adata, n_edges=12)
    edges = adata.uns["dynamics"]["edges"]
    edges = edges[(edges["weight"] != 0) & (edges["source"] != edges["target"])].sort_values("score", ascending=False)
    known = edges["in_prior"].astype(bool)
    top = pd.concat([edges[known].head(6), edges[~known].head(6)])  # the strongest half of each kind
    lines, arrows, bars = tagged(ax, "edge"), tagged(ax, "activates"), tagged(ax, "represses")
    assert set(lines) == {f"{edge.source}:{edge.target}" for edge in top.itertuples()}
    for edge in top.itertuples():
        name = f"{edge.source}:{edge.target}"
        active = edge.weight > 0
        assert (name in arrows) is active and (name in bars) is not active
        assert to_hex(lines[name].get_color()) == (ACTIVATION if active else REPRESSION).lower()
        assert (lines[name].get_linestyle() == "-") is bool(edge.in_prior)
    assert all(arrow.get_fill() and len(arrow.get_xy()) == 4 for arrow in arrows.values())  # closed triangles
    assert all(not bar.get_fill() and len(bar.get_xy()) == 2 for bar in bars.values())  # open bars


def test_edges_run_from_regulator_to_target_and_end_at_the_boxes(adata) -> None:
    ax = pl.network(adata, n_edges=20)
    nodes = tagged(ax, "node")
    for name, line in tagged(ax, "edge").items():
        source, target = name.split(":")
        points = line.get_xydata()
        middle = {end: np.add(nodes[end].get_bbox().p0, nodes[end].get_bbox().p1) / 2 for end in (source, target)}
        assert np.linalg.norm(points[0] - middle[source]) < np.linalg.norm(points[-1] - middle[source])
        for end, at in ((source, points[0]), (target, points[-1])):
            box = nodes[end].get_bbox()
            # the box has round ends: its points are those within half its height of its middle line
            along = np.clip(at[0], box.x0 + box.height / 2, box.x1 - box.height / 2)
            distance = np.hypot(at[0] - along, at[1] - middle[end][1]) - box.height / 2
            assert 0 < distance < 12


def test_larger_names_have_more_targets(adata) -> None:
    ax = pl.network(adata, n_edges=30)
    degree = pd.Series([name.split(":")[0] for name in tagged(ax, "edge")]).value_counts()
    size = {text.get_text(): text.get_fontsize() for text in ax.texts}
    ranked = sorted(size, key=lambda name: degree.get(name, 0))
    assert (np.diff([size[name] for name in ranked]) >= -1e-9).all()
    assert size[degree.idxmax()] > size[ranked[0]]


def test_focus_ranking_and_tables(adata) -> None:
    edges = adata.uns["dynamics"]["edges"]
    ax = pl.network(adata, focus="TF1", n_edges=100)
    expected = edges[(edges["source"] == "TF1") | (edges["target"] == "TF1")]
    assert len(tagged(ax, "edge")) == len(expected)
    strongest = edges.loc[edges["weight"].abs().idxmax()]
    ax = pl.network(edges, rank_by="weight", n_edges=1)
    assert set(tagged(ax, "edge")) == {f"{strongest['source']}:{strongest['target']}"}
    matrix = pl.network(adata.varp["dynamics_grn"], genes=list(adata.var_names), n_edges=1)
    assert set(tagged(matrix, "edge")) == set(tagged(ax, "edge"))


def test_dropped_and_self_edges_are_not_drawn() -> None:
    table = pd.DataFrame({"source": ["a", "b", "c"], "target": ["b", "b", "a"], "weight": [1.0, 2.0, 0.0]})
    assert set(tagged(pl.network(table), "edge")) == {"a:b"}


def test_legend_names_only_what_is_drawn() -> None:
    table = pd.DataFrame({"source": ["a"], "target": ["b"], "weight": [1.0]})

    def labels(ax) -> list[str]:
        return [text.get_text() for text in ax.get_legend().get_texts()]

    assert labels(pl.network(table)) == ["activates"]
    # without a prior dashes would tell nothing apart
    assert labels(pl.network(table.assign(weight=-1.0, in_prior=False))) == ["represses"]
    both = pd.DataFrame({"source": ["a", "b"], "target": ["b", "c"], "weight": -1.0, "in_prior": [True, False]})
    ax = pl.network(both)
    assert labels(ax) == ["represses", "in the prior", "not in the prior"]
    styles = {line.get_gid(): line.get_linestyle() for line in ax.lines if str(line.get_gid()).startswith("edge")}
    assert styles["edge:a:b"] == "-" and styles["edge:b:c"] != "-"


def test_errors(adata) -> None:
    with pytest.raises(ValueError, match="focus: 'TF11' is not in the edges of the network. Did you mean"):
        pl.network(adata, focus=["TF11"])
    with pytest.raises(ValueError, match="n_edges must be at least 1"):
        pl.network(adata, n_edges=0)
    with pytest.raises(ValueError, match="no column 'scores'"):
        pl.network(adata, rank_by="scores")
    with pytest.raises(ValueError, match="no edge between two genes"):
        pl.network(pd.DataFrame({"source": ["a"], "target": ["b"], "weight": [0.0]}))
    assert not plt.get_fignums()
    _, ax = plt.subplots(figsize=(0.5, 0.5))
    with pytest.raises(ValueError, match="do not fit into this axis"):
        pl.network(crowded(), n_edges=70, ax=ax)


def test_one_name_is_one_fit(adata) -> None:
    texts = [{text.get_text() for text in pl.networks(adata, keys).texts} for keys in ("dynamics", ["dynamics"])]
    assert texts[0] == texts[1] and "TF0" in texts[0]
    with pytest.raises(KeyError, match=r"under adata.uns\['dynamic'\].*pass key= one of \['dynamics'\]"):
        pl.networks(adata, "dynamic")
    with pytest.raises(ValueError, match="keys is empty: name at least one fit"):
        pl.networks(adata, [])


# layout


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 25))
def test_separated_boxes_never_overlap(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.uniform(5, 60, (count, 2))
    middles = rng.uniform(0, 40, (count, 2)) * rng.integers(0, 2)  # crowded, or all in one place
    found = separate(middles, sizes)
    apart = np.abs(found[:, None] - found[None]) - (sizes[:, None] + sizes[None]) / 2
    assert (np.delete(apart.max(axis=2).ravel(), np.arange(count) * (count + 1)) > -1e-5).all()


def test_boxes_that_do_not_overlap_stay_where_they_are() -> None:
    middles = np.array([[0.0, 0.0], [100.0, 0.0]])
    np.testing.assert_array_equal(separate(middles, np.full((2, 2), 10.0)), middles)


def test_parts_are_set_apart_and_the_layout_is_reproducible() -> None:
    table = crowded()
    names = sorted(set(table["source"]) | set(table["target"])) + ["alone", "x", "y"]
    pairs = [*zip(table["source"], table["target"], strict=True), ("x", "y")]
    sizes = np.tile([60.0, 20.0], (len(names), 1))
    first, area = arrange(names, pairs, sizes, length=80)
    again, _ = arrange(names, pairs, sizes, length=80)
    np.testing.assert_array_equal(first, again)
    assert ((first - sizes / 2) > -1e-6).all() and ((first + sizes / 2) < np.array(area) + 1e-6).all()
    apart = np.abs(first[:, None] - first[None]) - sizes[0]
    assert (np.delete(apart.max(axis=2).ravel(), np.arange(len(names)) * (len(names) + 1)) > -1e-6).all()


@given(st.lists(st.tuples(st.floats(5, 100), st.floats(5, 100)), min_size=1, max_size=12))
def test_shelves_hold_rectangles_without_overlap(sizes) -> None:
    sizes = [np.array(size) for size in sizes]
    corners, (width, height) = _shelves(sizes, gap=4.0, aspect=1.3)
    for (a, at), (b, bt) in itertools.combinations(zip(sizes, corners, strict=True), 2):
        assert (np.maximum(at, bt) >= np.minimum(at + a, bt + b) - 1e-6).any()
    assert all(
        (c > -1e-6).all() and c[0] + s[0] < width + 1e-6 and c[1] + s[1] < height + 1e-6
        for s, c in zip(sizes, corners, strict=True)
    )


def test_a_route_bends_around_a_box_in_its_way() -> None:
    middles = np.array([[0.0, 0.0], [200.0, 0.0], [100.0, 8.0]])
    sizes = np.array([[30.0, 15.0], [30.0, 15.0], [40.0, 15.0]])
    points = route(0, 1, middles, sizes)
    inside = (np.abs(points - middles[2]) < sizes[2] / 2).all(axis=1)
    assert not inside.any() and points[0, 0] > 15 and points[-1, 0] < 185


def two_kinds(known: int, novel: int, ranked_by: str = "prior and data") -> pd.DataFrame:
    """Edges of the prior all score above the novel ones; within a kind the later ones are stronger."""
    count = known + novel
    table = pd.DataFrame({"source": [f"r{i % 5}" for i in range(count)], "target": [f"t{i}" for i in range(count)]})
    inside = np.arange(count) < known
    return table.assign(
        weight=np.arange(count) + 1.0, in_prior=inside, score=np.where(inside, 0.5, 0.0), ranked_by=ranked_by
    )


def caption(ax) -> str:
    """Return what stands above the drawing, whatever its lines."""
    return " ".join(ax.get_title(loc="left").split())


@pytest.mark.parametrize(
    ("known", "novel", "drawn"), [(20, 20, (4, 4)), (1, 20, (1, 7)), (20, 2, (6, 2)), (2, 2, (2, 2))]
)
def test_novel_edges_are_drawn_beside_those_of_the_prior(known: int, novel: int, drawn: tuple[int, int]) -> None:
    ax = pl.network(two_kinds(known, novel), n_edges=8)
    lines = tagged(ax, "edge")
    solid = {name for name, line in lines.items() if line.get_linestyle() == "-"}
    assert (len(solid), len(lines) - len(solid)) == drawn
    targets = {name.split(":")[1] for name in lines}
    strongest = range(known - drawn[0], known), range(known + novel - drawn[1], known + novel)
    assert targets == {f"t{i}" for part in strongest for i in part}  # equal scores: by the data
    assert caption(ax) == f"{drawn[0]} edges of the prior, {drawn[1]} novel ones: the strongest of each kind"


def test_the_caption_says_where_the_data_do_not_tell_edges_apart() -> None:
    title = caption(pl.network(two_kinds(9, 9, "prior"), n_edges=8))
    assert title.startswith("4 edges of the prior, 4 novel ones: the data do not tell the two kinds apart")
    by_column = pl.network(two_kinds(9, 9, "prior"), n_edges=3, rank_by="weight")
    assert {name.split(":")[1] for name in tagged(by_column, "edge")} == {"t15", "t16", "t17"}
    assert caption(by_column) == ""  # no edge of the prior is drawn
    assert caption(pl.network(two_kinds(0, 4, "data"))) == ""


def test_a_gene_has_the_same_place_in_every_panel(adata) -> None:
    adata.uns["other"] = dict(adata.uns["dynamics"])
    adata.varp["other_grn"] = adata.varp["dynamics_grn"].copy()
    edges = adata.uns["dynamics"]["edges"].copy()
    adata.uns["other"]["edges"] = edges.assign(score=edges["score"].to_numpy()[::-1])
    panels = pl.networks(adata, ["dynamics", "other"], n_edges=12)
    places = [{text.get_text(): text.get_position() for text in ax.texts} for ax in panels]
    shared = set(places[0]) & set(places[1])
    assert shared and set(places[0]) != set(places[1])
    assert all(places[0][gene] == places[1][gene] for gene in shared)


def with_names(adata, names: list[str]):
    """Return the object with other names of genes, and its fit a second time under the key "other"."""
    new = dict(zip(adata.var_names, names, strict=True))
    entry = adata.uns["dynamics"]
    edges = entry["edges"]
    entry["edges"] = edges.assign(source=edges["source"].map(new), target=edges["target"].map(new))
    entry["genes"] = np.array([new[gene] for gene in entry["genes"]])
    adata.var_names = names
    adata.uns["other"], adata.varp["other_grn"] = dict(entry), adata.varp["dynamics_grn"].copy()
    return adata


def test_many_long_names_are_cut_and_can_be_read_in_several_panels(adata) -> None:
    names = [f"ENSG00000{100000 + 37 * i}.12_isoform-{i:02d}" for i in range(adata.n_vars)]
    figure = pl.networks(with_names(adata, names), ["dynamics", "other"], n_edges=60, return_fig=True)
    figure.canvas.draw()
    for ax in figure.axes:
        assert len(ax.texts) > 20 and len({text.get_text() for text in ax.texts}) == len(ax.texts)
        assert all(len(text.get_text()) <= 24 and "…" in text.get_text() for text in ax.texts)
        assert min(text.get_fontsize() for text in ax.texts) >= 5.5  # points; three were drawn before
        boxes = [text.get_window_extent() for text in ax.texts]
        assert not overlaps(boxes)
        inside = figure.bbox
        assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 for box in boxes)


def test_panels_of_few_short_names_keep_their_size(adata) -> None:
    figure = pl.networks(adata, "dynamics", n_edges=4, return_fig=True)
    np.testing.assert_allclose(figure.get_size_inches(), (6.2, 5.2))


def test_the_legend_says_what_widths_mean(adata) -> None:
    ax = pl.network(adata, n_edges=15)
    lines = {line.get_label(): line.get_linewidth() for line in ax.get_legend().legend_handles}
    labels = [label for label in lines if label.startswith("contribution")]
    low, high = sorted(labels, key=lambda label: float(label.split()[1]))
    assert lines[low] < lines[high]
    widths = [line.get_linewidth() for line in ax.get_lines() if str(line.get_gid()).startswith("edge:")]
    np.testing.assert_allclose([lines[low], lines[high]], [min(widths), max(widths)])


def test_the_layout_is_the_same_in_every_process() -> None:
    code = (
        "import numpy as np; from scdash._core.layout import arrange;"
        "names = [f'GENE{i}' for i in range(14)]; pairs = [(names[i % 4], names[i]) for i in range(4, 12)];"
        "print(arrange(names, pairs, np.full((14, 2), 20.0), length=80.0)[0].round(6).tolist())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
