"""Cells along one path: a regulator rises, its target follows; other genes are noise or follow time alone."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData


@pytest.fixture
def cells():
    """Return 3 batches of 160 cells and 12 genes on one path."""
    rng = np.random.default_rng(0)
    time = np.tile(np.sort(rng.random(160)), 3)
    batch = np.repeat(["a", "b", "c"], 160)
    shape = np.column_stack([np.sin((k + 1) * np.pi * time) for k in range(6)])
    loads = rng.normal(size=(6, 12))
    x = 2 + shape @ loads + 0.3 * rng.normal(size=(480, 12))
    names = [f"g{i}" for i in range(12)]
    adata = AnnData(np.maximum(x, 0).astype(np.float32), var=pd.DataFrame(index=names))
    adata.obs["time"], adata.obs["batch"] = time, batch
    adata.obs["split"] = pd.Series(batch).map({"a": "train", "b": "validation", "c": "test"}).to_numpy()
    adata.var["is_tf"] = np.arange(12) < 4
    return adata
