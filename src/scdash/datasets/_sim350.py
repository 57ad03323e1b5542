"""SIM350, the simulated system of the DASH and PHOENIX papers, from the folder of reference data."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, as_generator
from scdash._data import sanitise

# The published prior files are named by half the fraction of edges that they move.
_FILES = {0.0: "0.0", 0.05: "0.025", 0.1: "0.05", 0.2: "0.1"}
_VALIDATION = (3, 23, 25, 61, 74, 90, 103, 128, 139, 146)  # published validation trajectories, counted from 0


@guarded
def sim350(noise: float = 0.0, moved: float = 0.05, *, rng: RNG = 0, folder: "str | Path | None" = None) -> AnnData:
    """Read SIM350: 350 genes, 550 signed edges, 150 trajectories for training and validation and 10 for test.

    The system was simulated by Hossain et al. 2024 (PHOENIX) over a yeast network shipped with SimulatorGRN (Bhuva et
    al. 2019). It is not part of the package; `simulate.grn_dynamics` makes data of the same kind.

    Parameters
    ----------
    noise
        Noise level: N(0, (noise / 2)^2) is added once to every value; 0, 0.05 and 0.10 are "0, 5, 10 %" of the papers.
    moved
        Fraction of prior edges in a random place: 0, 0.05, 0.1 and 0.2 read the published priors, other values are drawn.
    rng
        Seed or Generator of the noise (and of a prior that is drawn).
    folder
        Folder with trajectories.npz, edges.csv, gene_names.csv and the priors; None: `sim350` in the folder that the
        environment variable SCDASH_REFERENCE_DATA names.

    Returns
    -------
    AnnData
        AnnData, (800, 350), arbitrary units in [0, 1] before noise:
    `.X` : float32
        noisy
    `.layers["clean"]` : without noise
    `.obs` : DataFrame
        `time` (0, 2, 3, 7, 9), `trajectory`, `split` (140 train, 10 validation, 10 test trajectories)
    `.var["is_input"]` : bool
        the 73 genes held constant
    `.varp["truth"]` : CSR float32
        signed, row regulates column
    `.uns["truth"]`, `.uns["prior"]` : DataFrame
        `source`, `target`, `weight` (truth also `ec50`, `exponent`)

    See Also
    --------
    scdash.simulate.grn_dynamics : Simulate trajectories of a random gene-regulatory system whose network is known.
    scdash.metrics.grn_report : Compare a network with a known truth, and say what it adds to the prior it was given.

    Examples
    --------
    >>> import scdash
    >>> adata = scdash.datasets.sim350(noise=0.05)  # doctest: +SKIP
    """
    from scdash.simulate import corrupt_prior
    from scdash.simulate.time_series import add_truth, time_series_adata

    if noise < 0:
        raise ValueError(f"noise must not be negative, found {noise}.")
    path = _folder(folder)
    rng = as_generator(rng)
    stored = np.load(path / "trajectories.npz", allow_pickle=False)
    states = np.concatenate([stored["x_train"].astype(np.float64), stored["x_test"]])
    split = np.zeros(len(states), np.int8)
    split[list(_VALIDATION)] = 1
    split[len(stored["x_train"]) :] = 2
    genes = pd.Index(stored["genes"].astype(str))
    adata = time_series_adata(states, stored["times"], split, genes, noise, rng)
    edges = pd.read_csv(path / "edges.csv", keep_default_na=False)
    names = {"from": "source", "to": "target", "sign": "weight", "EC50": "ec50", "n": "exponent"}
    truth = edges[list(names)].rename(columns=names).astype({"weight": float})
    add_truth(adata, truth, stored["is_input"].astype(bool))
    if moved in _FILES:
        adata.uns["prior"] = _published_prior(path / f"edge_prior_noise_{_FILES[moved]}.csv.gz", genes)
    else:
        adata.uns["prior"] = corrupt_prior(truth, moved, genes=genes, rng=rng)
    adata.uns["simulation"] = sanitise({"noise": noise, "prior_moved": moved, "system": "SIM350"})
    return adata


def _folder(folder: "str | Path | None") -> Path:
    path = Path(folder) if folder is not None else Path(os.environ.get("SCDASH_REFERENCE_DATA", "")) / "sim350"
    if not (path / "trajectories.npz").is_file():
        raise FileNotFoundError(
            f"SIM350 is not in {path}: pass folder=, or set SCDASH_REFERENCE_DATA to the folder that holds sim350/. "
            "scdash.simulate.grn_dynamics() makes data of the same kind without it."
        )
    return path


def _published_prior(path: Path, genes: pd.Index) -> pd.DataFrame:
    """Read a matrix without header; row regulates column."""
    matrix = pd.read_csv(path, header=None).to_numpy()
    row, column = np.nonzero(matrix)
    return pd.DataFrame(
        {
            "source": genes[row].to_numpy(dtype=object),
            "target": genes[column].to_numpy(dtype=object),
            "weight": matrix[row, column].astype(np.float64),
        }
    )
