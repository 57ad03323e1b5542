"""An AnnData as `tl.fit_dynamics` leaves it, with weights set by hand instead of fitted, so that truths are known."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch

from scdash._data import sanitise
from scdash.fields import Phoenix
from scdash.networks import module_from_entry, pack

N_MODELLED, N_GENES = 24, 30
HUB, DOWN = 3, 4  # G3 drives G10 to G15, and represses G4


def hub_params(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    field = Phoenix(N_MODELLED, encoder="genes")
    params = field.init(1, generator)
    params["U_sums"] = torch.zeros_like(params["U_sums"])
    params["U_sums"][0, 10:16, HUB] = 1.0 + 0.2 * torch.rand(6, generator=generator)
    params["U_sums"][0, DOWN, HUB] = -1.0
    params["U_sums"][0, 20, 10] = 0.5  # a second step: G3 -> G10 -> G20
    params["U_sums"][0, 5, 6] = 0.2
    params["v"] = torch.full_like(params["v"], 0.8)
    return params


def a_fit(key: str = "dynamics", adata: ad.AnnData | None = None, seed: int = 0) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    if adata is None:
        adata = ad.AnnData(
            rng.random((40, N_GENES)).astype(np.float32) * 3,
            obs=pd.DataFrame(index=[f"c{i}" for i in range(40)]),
            var=pd.DataFrame(index=[f"G{i}" for i in range(N_GENES)]),
        )
        adata.obs["dpt_pseudotime"] = np.linspace(0, 1, 40)
    genes = np.asarray(adata.var_names[:N_MODELLED]).astype(str)
    main = hub_params(seed)
    effects = main["U_sums"][0].numpy()
    target, source = np.nonzero(effects)
    edges = pd.DataFrame({"source": genes[source], "target": genes[target], "weight": effects[target, source]})
    edges["contribution"] = np.abs(edges["weight"]) / edges.groupby("target")["weight"].transform(
        lambda w: w.abs().sum()
    )
    edges["in_prior"] = edges["source"] == f"G{HUB}"
    edges["selection_frequency"], edges["score"] = np.nan, edges["contribution"]
    times = np.tile(np.linspace(0, 4, 5), 2)
    states = rng.random((10, N_MODELLED)) * 3
    adata.uns[key] = sanitise(
        {
            "params": {"field": "phoenix", "field_config": Phoenix(N_MODELLED, encoder="genes").config(), "layer": None, "slope": 2.0, "time_key": "dpt_pseudotime"},
            "genes": genes,
            "weights": pack(main),
            "replicates": {str(i): pack(hub_params(seed + i)) for i in (1, 2)},
            "minimum": np.full(N_MODELLED, 0.75),  # 3 (1/2 - 1/2 / slope)
            "range": np.full(N_MODELLED, 1.5),  # 3 / slope
            "edges": edges,
            "series": {"time": times, "trajectory": np.repeat(["a", "b"], 5), "split": np.repeat(["train"], 10),
                       "n_cells": np.ones(10), "states": states, "fitted": states},
            "metrics": {"test_mse": 0.01, "constant_mse": 0.05},
            "report": "made by hand",
        }
    )  # fmt: skip
    full = sp.lil_matrix((N_GENES, N_GENES), dtype=np.float32)
    full[source, target] = effects[target, source]
    adata.varp[f"{key}_grn"] = full.tocsr()
    adata.var[f"{key}_genes"] = np.arange(N_GENES) < N_MODELLED
    velocity = np.full(adata.shape, np.nan, dtype=np.float32)
    with torch.no_grad():
        velocity[:, :N_MODELLED] = module_from_entry(adata.uns[key])(
            0.0, torch.as_tensor(adata.X[:, :N_MODELLED])
        ).numpy()
    adata.layers[f"{key}_velocity"] = velocity
    return adata


@pytest.fixture
def fitted() -> ad.AnnData:
    return a_fit()


@pytest.fixture(name="make_fit")
def _make_fit():
    return a_fit


@pytest.fixture(autouse=True)
def quiet():
    import scdash

    before, scdash.settings.verbosity = scdash.settings.verbosity, 1
    yield
    scdash.settings.verbosity = before
