"""Names beside points: none on another, few on points, all inside."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from scdash.pl.shared.labels import name_points


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
