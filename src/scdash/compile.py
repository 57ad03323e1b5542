"""Compile the package's loops and keep them: `python -m scdash.compile`, when a container is built.

Loops are compiled when they are first called, which takes about 20 s in a fresh installation. In a container whose files
cannot be written that would be 20 s in every process. This runs small fits of each kind, so that the compiled code lies
beside the package, where later processes find it.
"""

import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from scdash._core.logging import settings


def compile_loops() -> list[Path]:
    """Call everything that runs compiled loops on small simulated data, and return the files of compiled code.

    Examples
    --------
    >>> from scdash.compile import compile_loops
    >>> kept = compile_loops()  # doctest: +SKIP
    """
    before, settings.verbosity = settings.verbosity, 0
    try:
        _fit_cells()
        _fit_states()
        _fit_screen()
    finally:
        settings.verbosity = before
    return sorted(Path(str(files("scdash"))).rglob("*.nbc"))


def _fit_cells() -> None:
    import pandas as pd
    from anndata import AnnData

    import scdash

    rng = np.random.default_rng(0)
    place, n = np.sort(rng.random(120)), 12
    values = 3 * np.exp(-((place[:, None] - np.linspace(0, 1, n)) ** 2) / 0.1) + 0.2 * rng.random((120, n))
    adata = AnnData(values.astype(np.float32), var=pd.DataFrame(index=[f"g{i}" for i in range(n)]))
    adata.obs["dpt_pseudotime"] = place
    prior = pd.DataFrame({"source": ["g0", "g1"], "target": ["g2", "g3"], "weight": [1.0, -1.0]})
    scdash.tl.fit_dynamics(adata, prior, observations=scdash.Cells(n_bins=8), progress=False)


def _fit_states() -> None:
    import scdash

    n = 110  # a network that is large and sparse enough to be simulated on its edges
    adata = scdash.simulate.grn_dynamics(n_genes=n, n_trajectories=5, n_test=1, rng=0)
    keys: dict[str, Any] = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}
    short = scdash.Training(max_epochs=2)
    scdash.tl.fit_dynamics(adata, adata.uns["prior"], training=short, **keys)
    scdash.tl.predict(adata)
    scdash.tl.gene_influence(adata, n_starts=2, genes=list(adata.var_names[:2]), progress=False)


def _fit_screen() -> None:
    import scanpy as sc

    import scdash

    adata = scdash.simulate.sergio(
        genes=10, n_edges=14, perturbations=[f"G{i:03d}" for i in range(8)], cells_per_perturbation=25, rng=2
    )
    sc.pp.log1p(adata)
    scdash.tl.fit_perturbode(adata, progress=False)


def main() -> None:
    """Compile, and say what is kept and how long it took."""
    began = time.perf_counter()
    kept = compile_loops()
    where = str(files("scdash"))
    if not kept:
        raise SystemExit(f"nothing could be kept: {where} cannot be written by this user, so run this as its owner")
    print(f"{len(kept)} compiled loops kept in {where}, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
