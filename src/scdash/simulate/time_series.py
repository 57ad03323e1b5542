"""States of time courses and a true network as AnnData, in the one form that simulations and loaders share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from scdash._data import SPLITS, sanitise


def time_series_adata(
    states: NDArray[Any],
    times: Sequence[float],
    split: NDArray[np.int8],
    genes: Sequence[str] | pd.Index,
    noise: float,
    rng: np.random.Generator,
) -> AnnData:
    """Return states (trajectories, times, genes) as an AnnData, with noise of standard deviation noise / 2 added."""
    number, steps, n = states.shape
    clean = np.ascontiguousarray(states.reshape(-1, n), dtype=np.float32)
    noisy = (
        clean + np.float32(noise / 2) * rng.standard_normal(clean.shape, dtype=np.float32) if noise else clean.copy()
    )
    names = np.array([f"t{i:0{len(str(number - 1))}d}" for i in range(number)])
    obs = pd.DataFrame(
        {
            "time": np.tile(np.asarray(times, dtype=np.float64), number),
            "trajectory": pd.Categorical(np.repeat(names, steps)),
            "split": pd.Categorical.from_codes(np.repeat(split, steps), pd.Index(SPLITS)),
        },
        index=pd.Index([f"{name}_{k}" for name in names for k in range(steps)]),
    )
    return AnnData(noisy, obs=obs, var=pd.DataFrame(index=pd.Index(genes)), layers={"clean": clean})


def add_truth(adata: AnnData, edges: pd.DataFrame, is_input: NDArray[np.bool_]) -> None:
    """File a true network: uns["truth"], varp["truth"] (row regulates column), var["is_input"]."""
    at = adata.var_names.get_indexer(edges["source"]), adata.var_names.get_indexer(edges["target"])
    shape = (adata.n_vars, adata.n_vars)
    adata.varp["truth"] = sp.csr_matrix((edges["weight"].to_numpy(dtype=np.float32), at), shape=shape)
    adata.uns["truth"] = sanitise(edges.reset_index(drop=True))
    adata.var["is_input"] = is_input
