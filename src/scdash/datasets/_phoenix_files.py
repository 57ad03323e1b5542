"""Files of time courses as PHOENIX and DASH publish them: SIM350, SIM690, breast cancer and yeast."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.process_state import guarded

Trajectory = tuple[NDArray[np.float64], NDArray[np.float64]]  # states (times, genes), times


@guarded
def read_phoenix(
    path: "str | Path | Mapping[str, str | Path]", genes: "str | Path | Sequence[str] | None" = None
) -> AnnData:
    r"""Read time courses from the CSV files of the PHOENIX and DASH papers.

    The first line is the number of genes and of trajectories. Then follow, for every trajectory, a line for each gene with its
    values over time, and a line with the times. So are SIM350 and SIM690 (`ground_truth_simulator/clean_data` of
    github.com/QuackenbushLab/phoenix, MIT), the breast-cancer pseudotrajectories of 500, 2,000, 4,000 and 11,165 genes
    (`breast_cancer_data/clean_data`) and the yeast cell cycle.

    Their priors (`edge_prior_matrix_*.csv`) are read by `scdash.datasets.read_prior(path, genes=adata.var_names)`. Those of real
    data have random signs: take the absolute weights.

    Parameters
    ----------
    path
        The file; or a file for each of "train", "validation" and "test", as the papers publish them.
    genes
        Names of the genes in the order of the file: names, or the file with a name a line below the header "x"
        (`*_gene_names_*.csv`). None: "gene0", "gene1", ...

    Returns
    -------
    AnnData
        `.X` : float32
            states, a row per trajectory and time, in the units of the file
        `.obs` : DataFrame
            `time`, `trajectory` and, of several files, `split`

    Raises
    ------
    ValueError
        If the lines are not those that the first line announces, or there are not as many names as genes.

    See Also
    --------
    scdash.datasets.read_prior : Read a prior network from a file.
    scdash.datasets.yeast_cell_cycle : Read the yeast cell cycle with its prior and the edges seen by ChIP-chip.

    Examples
    --------
    >>> adata = scdash.datasets.read_phoenix(
    ...     "desmedt_500genes_1sample_178T.csv", "desmedt_gene_names_500.csv"
    ... )  # doctest: +SKIP
    >>> adata.shape  # doctest: +SKIP
    (178, 500)
    """
    files = path if isinstance(path, Mapping) else {"": path}
    states, frames = [], []
    for split, file in files.items():
        for number, (values, times) in enumerate(read_trajectories(file)):
            name = f"{split}_{number}" if split else str(number)
            states.append(values)
            frames.append(pd.DataFrame({"time": times, "trajectory": name, "split": split or "train"}))
    if len({values.shape[1] for values in states}) != 1:
        raise ValueError("read_phoenix: the files hold different numbers of genes.")
    names = gene_names(genes, states[0].shape[1])
    obs = pd.concat(frames, ignore_index=True)
    obs.index = pd.Index([f"{a}:{b:g}" for a, b in zip(obs["trajectory"], obs["time"], strict=True)])
    obs["trajectory"] = pd.Categorical(obs["trajectory"], categories=pd.unique(obs["trajectory"]))
    if not isinstance(path, Mapping):
        obs = obs.drop(columns="split")
    return AnnData(np.concatenate(states).astype(np.float32), obs=obs, var=pd.DataFrame(index=names))


def read_trajectories(path: "str | Path") -> list[Trajectory]:
    """Return the trajectories of a file."""
    path = Path(path)
    with path.open(newline="") as lines:
        rows = [_numbers(row) for row in csv.reader(lines) if any(row)]
    count, number_of_trajectories = (int(number) for number in rows[0][:2])
    if len(rows) != 1 + number_of_trajectories * (count + 1):
        raise ValueError(
            f"read_phoenix: {path.name} announces {count} genes and {number_of_trajectories} trajectories, which are "
            f"{number_of_trajectories * (count + 1)} lines with those of times; it has {len(rows) - 1}."
        )
    trajectories = []
    for start in range(1, len(rows), count + 1):
        block = rows[start : start + count + 1]
        if len({len(row) for row in block}) != 1:
            raise ValueError(f"read_phoenix: lines {start + 1} to {start + count + 1} of {path.name} differ in length.")
        values = np.array(block, dtype=np.float64)
        trajectories.append((values[:-1].T, values[-1]))
    return trajectories


def _numbers(row: list[str]) -> list[float]:
    """Return the numbers of a line; empty cells at its end fill it up to the longest line, others are missing values."""
    while row and not row[-1].strip():
        row = row[:-1]
    return [float(cell) if cell.strip() else float("nan") for cell in row]


def gene_names(genes: "str | Path | Sequence[str] | None", count: int) -> pd.Index:
    """Return the names of the genes."""
    if genes is None:
        return pd.Index([f"gene{k}" for k in range(count)])
    if isinstance(genes, str | Path):  # "NA" may be a gene
        names = pd.read_csv(genes, keep_default_na=False).iloc[:, -1].astype(str).tolist()
    else:
        names = [str(gene) for gene in genes]
    if len(names) != count:
        raise ValueError(f"read_phoenix: {len(names)} names of genes for {count} genes.")
    return pd.Index(names)
