"""What is known of cells stands in `obs`, `obsm` and layers: it follows them when they are sorted or left out."""

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pytest

import scdash


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(1)
    place = np.sort(rng.random(240))
    values = np.exp(-((place[:, None] - np.linspace(0, 1, 12)) ** 2) / 0.1) * 3 + rng.random((240, 12)) * 0.2
    adata = ad.AnnData(values.astype(np.float32))
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(240)], [f"g{i:02d}" for i in range(12)]
    adata.obs["dpt_pseudotime"] = place
    adata.obs["lineage"] = np.where(np.arange(240) % 8 == 0, None, np.where(np.arange(240) % 2, "a", "b"))
    scdash.tl.fit_dynamics(
        adata,
        trajectory_key="lineage",
        progress=False,
        training=scdash.Training(max_epochs=0),
        validation=scdash.Validation(null_models=False),
    )
    return adata


def drawn(adata, gene="g03"):
    ax = scdash.pl.trends(adata, [gene], show=False)
    points = next(np.asarray(c.get_offsets()) for c in ax.collections if c.get_label() == "cells")
    plt.close("all")
    return {tuple(np.round(point, 5)) for point in points}


def test_no_array_of_cells_is_in_uns(cells):
    def arrays(value):
        if isinstance(value, dict):
            for entry in value.values():
                yield from arrays(entry)
        elif hasattr(value, "shape"):
            yield value

    assert not [found.shape for found in arrays(dict(cells.uns)) if cells.n_obs in found.shape]
    position = cells.obs["dynamics_position"]
    assert (position.isna() == cells.obs["lineage"].isna()).all()  # cells without a label take no part
    assert position.min() > 0 and position.max() < 10


def test_trends_draw_every_cell_at_its_own_time(cells, tmp_path):
    expected = drawn(cells)
    assert len(expected) == 210
    mixed = cells[np.random.default_rng(0).permutation(cells.n_obs)].copy()
    assert drawn(mixed) == expected
    early = cells[cells.obs["dpt_pseudotime"] < 0.3].copy()  # also a part that covers less than half of the axis
    assert 0 < len(drawn(early)) < 210 and drawn(early) < expected
    mixed.write_h5ad(tmp_path / "mixed.h5ad")
    assert drawn(ad.read_h5ad(tmp_path / "mixed.h5ad")) == expected


def test_a_fit_without_cells_takes_the_positions_away(cells):
    adata = cells.copy()
    bins = scdash.pp.trajectories(adata, n_bins=12)
    bins.obs["dynamics_position"] = 1.0
    scdash.tl.fit_dynamics(bins, progress=False, training=scdash.Training(max_epochs=0))
    assert "dynamics_position" not in bins.obs
