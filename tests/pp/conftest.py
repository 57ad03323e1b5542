import anndata as ad
import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def curve():
    """Noisy cells on a half circle (place in obs["place"]), as 60 log-expressed genes; starts where `start` is high."""
    rng = np.random.default_rng(0)
    place = rng.random(200)
    angle = np.pi * place
    plane = np.column_stack([np.cos(angle), np.sin(angle)])
    X = 2 + plane @ rng.normal(size=(2, 60)) + 0.02 * rng.normal(size=(200, 60))
    X[:, 0], X[:, 1] = 2 - place, 1 + place
    obs = pd.DataFrame({"place": place, "day": pd.Categorical(np.where(place < 0.2, "early", "late"))})
    obs.index = [f"cell{i}" for i in range(200)]
    names = ["start", "end", *[f"gene{j}" for j in range(58)]]
    return ad.AnnData(np.abs(X), obs, pd.DataFrame(index=names))
