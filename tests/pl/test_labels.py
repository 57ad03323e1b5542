"""Names beside points: none on another, few on points, all inside."""

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from scdash import pl
from scdash.pl.shared.labels import cut, name_points, room


def boxes(ax):
    ax.figure.canvas.draw()
    return [Text.get_window_extent(text) for text in ax.texts if text.get_gid() == "name"]


@pytest.mark.parametrize("seed", range(5))
def test_names_do_not_overlap_and_stay_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 80)) * [[1.0], [0.2]]
    ax = plt.figure(figsize=(4, 4), layout="constrained").add_subplot()
    ax.scatter(x, y)
    names = np.array([f"GENE{i}" for i in range(80)])
    name_points(ax, x, y, names, np.abs(x), 12)
    found = boxes(ax)
    assert len(found) == 12
    assert {text.get_text() for text in ax.texts} == set(names[np.argsort(-np.abs(x))[:12]])
    overlapping = [(i, j) for i in range(12) for j in range(i) if found[i].overlaps(found[j])]
    assert overlapping == []
    frame = ax.get_window_extent()
    assert all(frame.x0 - 2 <= box.x0 and box.x1 <= frame.x1 + 2 for box in found)


def test_points_at_one_place_get_names_at_several() -> None:
    ax = plt.figure().add_subplot()
    x = np.zeros(6)
    ax.scatter(x, x)
    name_points(ax, x, x, np.array(list("abcdef")), np.ones(6), 6)
    found = boxes(ax)
    assert not any(found[i].overlaps(found[j]) for i in range(6) for j in range(i))


def test_only_ranks_above_zero_are_named() -> None:
    ax = plt.figure().add_subplot()
    x = np.arange(3.0)
    name_points(ax, x, x, np.array(list("abc")), np.array([0.0, 1.0, 0.0]), 3)
    assert [text.get_text() for text in ax.texts] == ["b"]
    name_points(ax, x, x, np.array(list("abc")), np.zeros(3), 3)
    assert len(ax.texts) == 1


LONG = [f"ENSG00000{i:06d}_transcript-of-many-{i:02d}" for i in range(24)]


@pytest.fixture
def long_names(adata) -> ad.AnnData:
    """The same fit, its genes with long names."""
    here = adata.copy()
    new = dict(zip(here.var_names, LONG, strict=True))
    here.var_names = LONG
    entry = here.uns["dynamics"]
    entry["genes"] = np.array(LONG)
    entry["edges"] = entry["edges"].replace({"source": new, "target": new})
    return here


def test_long_names_keep_both_ends_and_short_ones_are_left_as_they_are() -> None:
    assert cut("MYOG", 20) == "MYOG" and cut("x" * 20, 20) == "x" * 20
    shown = [cut(name, 20) for name in LONG]
    assert {len(name) for name in shown} == {20} and len(set(shown)) == 24
    assert room(["MYOG", "GATA1"]) == 0 and 0.5 < room(LONG) < 2


def test_titles_of_long_names_do_not_overlap(long_names) -> None:
    for axes in (pl.trends(long_names), pl.trends(long_names, LONG[:6])):
        axes[0].figure.canvas.draw()
        boxes = [title.get_window_extent() for ax in axes for title in (ax._left_title,)]
        assert not any(one.overlaps(two) for i, one in enumerate(boxes) for two in boxes[:i])


@pytest.mark.parametrize("draw", [pl.effects, pl.coregulation, pl.heatmap])
def test_long_names_leave_room_for_the_image(adata, long_names, draw) -> None:
    sizes = []
    for data in (adata, long_names):
        drawn = draw(data)
        ax = drawn[0] if isinstance(drawn, list) else drawn
        ax.figure.canvas.draw()
        sizes.append(ax.get_window_extent().size)
    np.testing.assert_array_less(0.8 * sizes[0], sizes[1])
