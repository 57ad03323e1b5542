"""Embeddings and the projection of velocities, against closed forms and the formula written out."""

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.legend import Legend
from matplotlib.quiver import Quiver

from scdash import pl
from scdash._core.drawing import PALETTE, category_colors
from scdash.pl import _projection
from scdash.pl._projection import neighbors, on_grid, project_time, project_velocity
from scdash.pl._velocity import _stream, grid_arrows
from scdash.pl.shared.style import INK


def colors_of(ax) -> set[str]:
    return {to_hex(color) for color in ax.collections[0].get_facecolors()}


# embedding


def test_categories_take_stored_colours_then_safe_ones_then_the_palette(adata) -> None:
    assert colors_of(pl.embedding(adata, "stage")) == {"#112233", "#aabbcc"}
    assert colors_of(pl.embedding(adata, "batch")) == {color.lower() for color in PALETTE[:3]}
    assert colors_of(pl.embedding(adata, "stage", palette={"early": "red", "late": "blue"})) == {"#ff0000", "#0000ff"}
    labels = [text.get_text() for text in pl.embedding(adata, "stage").get_legend().get_texts()]
    assert labels == ["early", "late"]


def test_points_keep_their_category_whatever_the_order_of_drawing(adata) -> None:
    ax = pl.embedding(adata, "stage")
    points, colors = ax.collections[0].get_offsets(), ax.collections[0].get_facecolors()
    at = {tuple(point): stage for point, stage in zip(adata.obsm["X_umap"], adata.obs["stage"], strict=True)}
    for point, color in zip(points, colors, strict=True):
        assert to_hex(color) == {"early": "#112233", "late": "#aabbcc"}[at[tuple(point)]]


def test_numbers_have_a_colour_bar_and_the_largest_on_top(adata) -> None:
    ax = pl.embedding(adata, "GENE3", vmax=2.5)
    values = ax.collections[0].get_array()
    assert (np.diff(values) >= 0).all() and ax.collections[0].norm.vmax == 2.5
    np.testing.assert_allclose(np.sort(adata[:, "GENE3"].X.toarray()[:, 0]), values)
    assert len(ax.figure.axes) == 2
    centred = pl.embedding(adata, "GENE3", vcenter=2.0, cmap="RdBu_r").collections[0].norm
    assert centred.vcenter == 2 and centred.vmax - 2 == pytest.approx(2 - centred.vmin)


def test_missing_values_are_grey(adata) -> None:
    adata.obs["score"] = np.where(np.arange(adata.n_obs) < 10, np.nan, 1.0)
    adata.obs["label"] = pd.Series(["x", None] * 40, index=adata.obs_names)
    for column, count in (("score", 10), ("label", 40)):
        grey, colored = pl.embedding(adata, column).collections[:2]
        assert len(grey.get_offsets()) == count and len(colored.get_offsets()) == adata.n_obs - count


@pytest.mark.parametrize("key", ["X_umap", "umap"])
def test_both_names_of_a_basis_are_found(adata, key: str) -> None:
    points = adata.obsm.pop("X_umap")
    adata.obsm[key] = points
    for basis in ("umap", "X_umap"):
        ax = pl.embedding(adata, basis=basis)
        np.testing.assert_array_equal(ax.collections[0].get_offsets(), points)
        assert ax.get_xlabel() == ax.xaxis.label.get_text() == "UMAP 1"


def test_embedding_errors(adata) -> None:
    with pytest.raises(KeyError, match="No embedding 'tsne' in adata.obsm"):
        pl.embedding(adata, basis="tsne")
    with pytest.raises(ValueError, match="'gene3' is neither a column of adata.obs nor a gene. Did you mean 'GENE3'"):
        pl.embedding(adata, "gene3")
    with pytest.raises(ValueError, match="color is empty"):
        pl.embedding(adata, [])
    adata.obsm["flat"] = np.zeros((adata.n_obs, 1))
    with pytest.raises(ValueError, match="two columns are needed"):
        pl.embedding(adata, basis="flat")
    assert not plt.get_fignums()


def test_many_categories_have_distinct_colours() -> None:
    assert len(set(category_colors([str(i) for i in range(40)]).values())) == 40
    assert list(category_colors(["a", "b"], "tab10").values()) == ["#1f77b4", "#ff7f0e"]


@pytest.mark.parametrize("form", ["dense", "backed", "dask"])
def test_any_kind_of_matrix_is_read(adata, tmp_path, form: str) -> None:
    expected = pl.embedding(adata, "GENE3").collections[0].get_array()
    if form == "dense":
        adata.X = adata.X.toarray()
    elif form == "dask":
        adata.X = pytest.importorskip("dask.array").from_array(adata.X.toarray(), chunks=(30, 24))
    else:
        adata.write_h5ad(tmp_path / "backed.h5ad")
        adata = ad.read_h5ad(tmp_path / "backed.h5ad", backed="r")
    np.testing.assert_allclose(pl.embedding(adata, "GENE3").collections[0].get_array(), expected)


# projection


def cloud(cells: int = 300, genes: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(cells, genes))


def test_projection_is_the_published_formula() -> None:
    states, velocity, points = cloud(40), cloud(40, seed=1), cloud(40, 2, seed=2)
    found = project_velocity(states, velocity, points, n_neighbors=7, scale=4.0)
    for i in range(40):
        near = np.argsort(np.linalg.norm(states - states[i], axis=1))[1:8]
        moves = states[near] - states[i]
        cosine = moves @ velocity[i] / (np.linalg.norm(moves, axis=1) * np.linalg.norm(velocity[i]))
        chance = np.exp(4.0 * cosine) / np.exp(4.0 * cosine).sum()
        steps = points[near] - points[i]
        steps /= np.linalg.norm(steps, axis=1, keepdims=True)
        np.testing.assert_allclose(found[i], (chance - 1 / 7) @ steps, atol=1e-12)


def test_a_velocity_along_an_axis_points_along_it() -> None:
    states = np.random.default_rng(0).uniform(size=(500, 2))
    arrows = project_velocity(states, np.tile([1.0, 0.0], (500, 1)), states)
    inner = ((states > 0.15) & (states < 0.85)).all(axis=1)
    assert (arrows[inner, 0] > 0).all()
    assert np.abs(arrows[inner, 1]).mean() < 0.25 * arrows[inner, 0].mean()


def test_rotating_the_embedding_rotates_the_arrows_and_scaling_velocity_changes_nothing() -> None:
    states, velocity, points = cloud(), cloud(seed=1), cloud(genes=2, seed=2)
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    arrows = project_velocity(states, velocity, points)
    np.testing.assert_allclose(project_velocity(states, velocity, points @ turn.T), arrows @ turn.T, atol=1e-12)
    np.testing.assert_allclose(project_velocity(states, 7 * velocity, points), arrows, atol=1e-12)


def test_no_velocity_no_arrow_also_among_duplicates() -> None:
    states = np.repeat(cloud(20), 3, axis=0)  # every cell three times
    velocity = cloud(60, seed=1)
    velocity[5] = 0
    arrows = project_velocity(states, velocity, states[:, :2], n_neighbors=10)
    np.testing.assert_array_equal(arrows[5], 0)
    assert np.isfinite(arrows).all()


def test_blocks_of_cells_give_what_one_block_gives(monkeypatch) -> None:
    states, velocity = cloud(200, 50), cloud(200, 50, seed=1)
    whole = project_velocity(states, velocity, states[:, :2])
    monkeypatch.setattr(_projection, "_BLOCK", 30 * 50 * 7)  # seven cells a block
    np.testing.assert_allclose(project_velocity(states, velocity, states[:, :2]), whole, atol=1e-12)


@pytest.mark.parametrize(
    ("states", "velocity", "points", "message"),
    [
        (np.ones((5, 2)), np.ones((5, 3)), np.ones((5, 2)), "do not fit together"),
        (np.ones((5, 2)), np.full((5, 2), np.nan), np.ones((5, 2)), "velocity holds 10 values that are not finite"),
        (np.ones((2, 2)), np.ones((2, 2)), np.ones((2, 2)), "at least three"),
    ],
)
def test_projection_errors(states, velocity, points, message) -> None:
    with pytest.raises(ValueError, match=message):
        project_velocity(states, velocity, points)


def test_a_grid_averages_equal_arrows_to_themselves_and_masks_empty_places() -> None:
    rng = np.random.default_rng(0)
    points = np.vstack([rng.normal(0, 0.3, (200, 2)), rng.normal(5, 0.3, (200, 2))])
    x, y, u, v = on_grid(points, np.tile([2.0, -1.0], (400, 1)), n_grid=25)
    kept = np.isfinite(u)
    np.testing.assert_allclose(u[kept], 2)
    np.testing.assert_allclose(v[kept], -1)
    assert not kept[12, 12] and kept[np.abs(y).argmin(), np.abs(x).argmin()]  # between the clouds, in a cloud


# velocity


def test_arrows_of_a_grid_have_a_cell_beside_them_and_every_cell_has_an_arrow() -> None:
    rng = np.random.default_rng(0)
    points = np.vstack([rng.normal(0, 1, (300, 2)), [[8.0, 8.0]]])
    where, _, _ = grid_arrows(points, np.ones((301, 2)), 1.0, 1.0)
    spacing = 1.04 * np.ptp(points, axis=0) / 21
    distance = np.linalg.norm((where[:, None] - points) / spacing, axis=2)
    assert distance.min(axis=1).max() <= np.sqrt(0.5) + 1e-9
    assert distance.min(axis=0).max() <= np.sqrt(0.5) + 1e-9


@pytest.mark.parametrize(("kind", "artist"), [("stream", LineCollection), ("grid", Quiver), ("cells", Quiver)])
def test_kinds_of_arrows(adata, kind: str, artist: type) -> None:
    ax = pl.velocity(adata, "stage", kind=kind)
    found = [collection for collection in ax.collections if isinstance(collection, artist)]
    assert len(found) == 1
    if kind == "cells":
        assert len(found[0].U) == adata.n_obs
    assert len(ax.get_legend().get_texts()) == 2


def test_arrows_follow_the_velocity_and_turn_with_it(adata) -> None:
    """Cells move along position, the first axis of the embedding; with the opposite velocity they move back."""
    forward = next(c for c in pl.velocity(adata, kind="cells").collections if isinstance(c, Quiver))
    adata.layers["dynamics_velocity"] *= -1
    backward = next(c for c in pl.velocity(adata, kind="cells").collections if isinstance(c, Quiver))
    assert np.mean(forward.U > 0) > 0.9 and np.mean(backward.U < 0) > 0.9


def test_what_was_projected_for_a_figure_is_kept_until_its_values_change(adata, monkeypatch) -> None:
    made = []
    project = _projection.project_to
    monkeypatch.setattr(_projection, "project_to", lambda *args: made.append(1) or project(*args))
    adata.layers["dynamics_velocity"] *= 1.5  # no earlier test drew these
    for number, options in enumerate(
        [{}, {"color": "stage", "kind": "grid"}, {"n_neighbors": 12}, {"basis": "pca"}, {}]
    ):
        pl.velocity(adata, **options)
        assert len(made) == [1, 1, 2, 3, 3][number]
    first = next(iter(adata.layers["dynamics_velocity"].flat))
    adata.layers["dynamics_velocity"][0, 0] = first + 1  # in place
    pl.velocity(adata)
    assert len(made) == 4
    assert len(_projection._KEPT) == _projection._FIGURES


@pytest.mark.parametrize("size", [(5.4, 4.4), (3.0, 2.2)])
def test_the_legend_of_directions_covers_no_name_of_an_axis(adata, size) -> None:
    adata.layers["dynamics_velocity"] *= -1
    for basis in ("umap", "pca"):
        ax = pl.velocity(adata, basis=basis, kind="grid", figsize=size)
        ax.figure.draw_without_rendering()
        (box,) = [legend for legend in ax.get_children() if legend.get_gid() == "against"]
        area = box.get_window_extent()
        assert not area.overlaps(ax.xaxis.label.get_window_extent())
        assert area.y1 <= ax.get_window_extent().y0 and area.y0 >= 0


def test_the_legend_of_groups_is_drawn_beside_that_of_directions(adata) -> None:
    adata.layers["dynamics_velocity"] *= -1
    ax = pl.velocity(adata, "stage", kind="grid")
    ax.figure.draw_without_rendering()
    (groups,) = [one for one in ax.get_children() if isinstance(one, Legend) and one.get_gid() != "against"]
    area = groups.get_window_extent()
    assert not groups.get_clip_on() and groups.get_clip_path() is None
    assert ax.get_window_extent().x1 <= area.x0 and area.x1 <= ax.figure.bbox.x1


@pytest.mark.parametrize("draw", [pl.embedding, pl.velocity])
def test_groups_keep_their_colours_and_the_others_are_grey(adata, draw) -> None:
    ax = draw(adata, "stage", groups="early")
    assert [text.get_text() for text in ax.get_legend().get_texts()][:1] == ["early"]
    grey, coloured = ax.collections[0], ax.collections[1]
    assert to_hex(grey.get_facecolor()[0]) == "#d9d9d9" and to_hex(coloured.get_facecolor()[0]) == "#112233"
    assert len(grey.get_offsets()) == (adata.obs["stage"] == "late").sum()
    adata.obs.loc[adata.obs_names[:3], "stage"] = np.nan
    counts = [len(found.get_offsets()) for found in draw(adata, "stage").collections if hasattr(found, "get_sizes")]
    assert sum(counts[:2]) == adata.n_obs and counts[0] == 3  # cells without a category are drawn once, below
    with pytest.raises(ValueError, match="Unknown group 'erly'. Did you mean 'early'"):
        draw(adata, "stage", groups=["erly"])
    with pytest.raises(ValueError, match="groups would have no effect"):
        draw(adata, "TF0", groups=["early"])


def test_names_on_data_are_moved_apart() -> None:
    rng = np.random.default_rng(0)
    names = np.repeat(["Ductal cells", "Ngn3 low EP", "Pre-endocrine"], 50)
    here = ad.AnnData(np.zeros((150, 1)), obs=pd.DataFrame({"cluster": pd.Categorical(names)}))
    here.obsm["X_umap"] = rng.normal(0, 0.01, (150, 2)) + (np.arange(150) == 0)[:, None]
    ax = pl.embedding(here, "cluster", legend_loc="on data")
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts]
    assert len(boxes) == 3 and not any(one.overlaps(two) for i, one in enumerate(boxes) for two in boxes[:i])


def test_the_colour_bar_of_one_value_has_one_tick(adata) -> None:
    adata.obs["age"] = 15.5
    assert pl.embedding(adata, "age").figure.axes[1].get_yticks().tolist() == [15.5]


@pytest.mark.parametrize("draw", [pl.embedding, pl.velocity])
def test_legends_stand_where_they_are_asked_for(adata, draw) -> None:
    ax = draw(adata, "stage", legend_loc="on data")
    assert {"early", "late"} <= {text.get_text() for text in ax.texts}
    for none in (None, "none"):
        assert draw(adata, "stage", legend_loc=none).get_legend() is None
        assert len(draw(adata, "TF0", legend_loc=none).figure.axes) == 1  # no colour bar
    with pytest.raises(ValueError, match="Unknown legend_loc 'on dtaa'. Did you mean 'on data'"):
        draw(adata, "stage", legend_loc="on dtaa")


@pytest.mark.parametrize("draw", [pl.embedding, pl.velocity])
def test_frame_opacity_and_colour_map(adata, draw) -> None:
    assert draw(adata, frameon=True).spines["top"].get_visible()
    bare = draw(adata, frameon=False)
    assert not bare.spines["top"].get_visible() and bare.get_xlabel() == ""
    ax = draw(adata, "TF0", alpha=0.25, color_map="magma")
    assert ax.collections[0].get_alpha() == 0.25 and ax.collections[0].get_cmap().name == "magma"
    assert ax.figure.axes[1].get_ylabel() == "TF0"  # the colour bar says what it is
    with pytest.raises(ValueError, match="two names of one argument"):
        draw(adata, "TF0", cmap="magma", color_map="magma")
    with pytest.raises(ValueError, match="alpha must be"):
        draw(adata, alpha=0)


def test_a_colour_bar_has_arrows_where_there_are_values_beyond(adata) -> None:
    def extend(**limits: float) -> str:
        return str(pl.embedding(adata, "TF0", **limits).collections[0].colorbar.extend)

    assert extend() == "neither"
    low, high = np.quantile(adata[:, "TF0"].X.toarray(), [0.2, 0.8])
    assert extend(vmax=high) == "max" and extend(vmin=low) == "min" and extend(vmin=low, vmax=high) == "both"


@pytest.mark.parametrize("kind", ["stream", "grid", "cells"])
def test_arrows_against_time_are_drawn_and_named_as_such(adata, kind: str) -> None:
    def drawn() -> tuple[bool, set[str]]:
        ax = pl.velocity(adata, kind=kind)
        (lines,) = [c for c in ax.collections if isinstance(c, LineCollection | Quiver)]
        colors = lines.to_rgba(lines.get_array()) if kind == "stream" else lines.get_facecolor()
        return ax.get_legend() is not None and ax.get_legend().get_gid() == "against", {
            to_hex(color) for color in colors
        }

    late = adata.obs["dpt_pseudotime"].to_numpy() > 0.75
    adata.layers["dynamics_velocity"][late] *= -1  # the model returns from where cells end up
    named, colors = drawn()
    assert named and {INK.lower(), "#d55e00"} <= colors
    adata.obs["dpt_pseudotime"] = np.nan  # nothing is known of time: nothing is said about it
    assert drawn() == (False, {INK.lower()})
    del adata.obs["dpt_pseudotime"]
    named, colors = drawn()  # times in obsm, or lost: the fit has noted where every cell lies
    assert named and "#d55e00" in colors
    del adata.obs["dynamics_position"]
    assert drawn() == (False, {INK.lower()})


def test_streamlines_are_said_to_run_against_time_only_where_some_are_drawn_so() -> None:
    """A grid has places that run against time through which no line passes."""
    rng = np.random.default_rng(0)
    points, told = rng.uniform(size=(300, 2)), []
    for corner in np.linspace(0, 0.1, 12):
        later = np.where((points < corner).all(axis=1)[:, None], -1.0, 1.0) * np.array([1.0, 0.2])
        ax = plt.figure().subplots()
        named = _stream(ax, points, np.tile([1.0, 0.2], (300, 1)), later, 0.3, 1.0)
        (lines,) = [one for one in ax.collections if isinstance(one, LineCollection)]
        assert named is bool((np.asarray(lines.get_array()) > 0.5).any())
        told.append(named)
    assert not told[0]


def test_time_points_to_where_later_cells_are() -> None:
    """On a square with time along x the arrows point along x; shifting time, or more cells on one side, changes nothing."""
    points = np.random.default_rng(0).uniform(size=(800, 2))
    near = neighbors(points, 30)
    arrows = project_time(points[:, 0], points, near)
    inner = ((points > 0.15) & (points < 0.85)).all(axis=1)
    assert (arrows[inner, 0] > 0).all() and np.abs(arrows[inner, 1]).mean() < 0.25 * arrows[inner, 0].mean()
    np.testing.assert_allclose(project_time(points[:, 0] + 5, points, near), arrows, atol=1e-12)
    np.testing.assert_allclose(project_time(np.ones(800), points, near), 0, atol=1e-12)
    some = np.where(np.arange(800) % 3 > 0, points[:, 0], np.nan)  # a third of the cells have no time
    assert (project_time(some, points, near)[inner, 0] > 0).mean() > 0.99
    np.testing.assert_array_equal(project_time(np.full(800, np.nan), points, near), 0)


def test_only_modelled_genes_count(adata) -> None:
    before = next(c for c in pl.velocity(adata, kind="cells").collections if isinstance(c, Quiver))
    adata.var["dynamics_genes"] = np.arange(adata.n_vars) < 20
    adata.layers["dynamics_velocity"][:, 20:] = np.nan  # genes that were not modelled
    after = next(c for c in pl.velocity(adata, kind="cells").collections if isinstance(c, Quiver))
    assert np.isfinite(after.U).all() and np.corrcoef(before.U, after.U)[0, 1] > 0.8


def test_velocity_errors(adata) -> None:
    with pytest.raises(ValueError, match="Unknown kind 'streams'. Did you mean 'stream'"):
        pl.velocity(adata, kind="streams")
    adata.layers["dynamics_velocity"][:] = 0
    with pytest.raises(ValueError, match="points nowhere"):
        pl.velocity(adata)
    del adata.layers["dynamics_velocity"]
    with pytest.raises(KeyError, match="No layer 'dynamics_velocity'"):
        pl.velocity(adata)
