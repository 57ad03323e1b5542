"""Patch-seq of mouse motor cortex (Scala et al. 2020) as the sBNN paper uses it: the authors' tables as MuData."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from mudata import MuData
from numpy.typing import NDArray

from scdash._core.logging import logger, step
from scdash._core.process_state import guarded
from scdash._data import make_mudata, without_pulling
from scdash.datasets._published import published_files
from scdash.datasets._reference import VARIABLE

_RAW = "https://raw.githubusercontent.com/berenslab/"
_SBNN = _RAW + "sBNN/febbc1325dd42fd183df5e2f886615759145f1ff/data/scala_2020/"
_ATLAS = _RAW + "mini-atlas/57d0274b01a4c930ecd32d567d05bcaa5928501b/data/"
URLS = {
    "gene_counts.csv": _SBNN + "gene_counts.csv",
    "ephys_values.csv": _SBNN + "ephys_values.csv",
    "m1_patchseq_meta_data.csv": _ATLAS + "m1_patchseq_meta_data.csv",
}
# What was published, whatever the bytes of the files (line ends, compression): counts of sorted cells by sorted genes
# as little-endian int64, and the sum over sorted cells and features with weights 1 to 2 along the cells.
COUNTS_SHA256 = "e97e7c6614aec142cc67062825c75338d3e1c34d385d4d322a07a89d57ba55f4"
EPHYS_CHECKSUM = 628204.1438501361
ANNOTATIONS = ["rna_family", "rna_type", "rna_type_confidence", "cre", "mouse"]  # of cells
DESCRIPTIONS = {
    "AP amp": ("action potential amplitude", "mV", ""),
    "AP amp adapt": ("AP amplitude adaptation index", "", ""),
    "AP amp CV": ("AP amplitude coefficient of variation", "", "ln"),
    "AP thresh": ("action potential threshold", "mV", ""),
    "AP width": ("action potential width", "ms", ""),
    "AHP": ("afterhyperpolarization", "mV", ""),
    "AI": ("interspike-interval adaptation index", "", "ln"),
    "ISI CV": ("interspike-interval coefficient of variation", "", "ln"),
    "R_input": ("input resistance", "MOhm", ""),
    "Max AP num": ("maximum number of action potentials", "", ""),
    "Tau": ("membrane time constant", "ms", ""),
    "Rebound": ("rebound", "mV", ""),
    "V_rest": ("resting membrane potential", "mV", ""),
    "Rheobase": ("rheobase", "pA", ""),
    "Sag": ("hyperpolarization sag ratio", "", ""),
    "UDR": ("upstroke-to-downstroke ratio", "", ""),
}


@guarded
def patchseq_m1(
    *, folder: "str | Path | None" = None, sha256: Mapping[str, str] | None = None, check: bool = True
) -> MuData:
    """Read 1213 neurons of mouse motor cortex: expression of 1000 genes and 16 electrophysiological features.

    The tables are those the authors published with the sBNN paper (github.com/berenslab/sBNN, at a pinned commit), the
    cell types those of the original publication (github.com/berenslab/mini-atlas). Cite Scala et al. 2020
    (doi:10.1038/s41586-020-2907-3) and Bernaerts, Berens & Kobak.

    Nothing is downloaded without a hash, and the authors published none. So download the three files once (called
    without arguments, the function says from where) and pass their folder; or pass the hashes of files that you
    trust, and every machine after the first fetches exactly these.

    Parameters
    ----------
    folder
        Folder that holds the files. None, without `sha256`: the folder of reference data that the environment variable
        SCDASH_REFERENCE_DATA names, if it holds `patchseq_m1/m1_patchseq.h5mu`, the same tables in one file.
    sha256
        Hash of each of the three files, `{"gene_counts.csv": "...", ...}`: they are downloaded once with pooch (extra
        `datasets`) into its cache, and refused if they differ.
    check
        Compare what was read with what was published, and raise if it differs.

    Returns
    -------
    MuData
        MuData, 1213 cells in two modalities:
    `mdata["rna"].X` : CSR float32
        (1213, 1000), raw exon read counts (normalise with `scdash.pp.normalize_paired`)
    `mdata["ephys"].X` : float64
        (1213, 16), physical units; AI, ISI CV and AP amp CV are natural logs
    `mdata["ephys"].var` : DataFrame
        `description`, `unit`, `transform`
    `mdata.obs` : DataFrame
        `rna_family`, `rna_type` (categorical), `rna_type_confidence`, `cre`, `mouse`; `cv_fold`, the paper's folds (-1: the
        three cells that are in every training set), for `scdash.tl.cross_validate_sbnn(..., folds="cv_fold")`

    Raises
    ------
    FileNotFoundError
        Without `folder` and `sha256`, and offline, with the files to download and where to put them.
    ValueError
        If the files are not the published ones, or not those of `sha256`.

    See Also
    --------
    scdash.tl.sbnn : Predict one modality from a few genes of the other through a bottleneck (Bernaerts, Berens & Kobak 2023).
    scdash.simulate.paired : Simulate cells whose features depend on a latent position that a few genes show.

    Examples
    --------
    >>> mdata = scdash.datasets.patchseq_m1(folder="downloads")  # doctest: +SKIP
    >>> scdash.pp.normalize_paired(mdata)  # doctest: +SKIP
    """
    stored = Path(os.environ.get(VARIABLE, "")) / "patchseq_m1" / "m1_patchseq.h5mu"
    from_tables = folder is not None or sha256 is not None or not stored.is_file()
    paths = published_files("patchseq_m1", URLS, folder, sha256) if from_tables else {}
    with step("reading Patch-seq of mouse motor cortex") as added:
        counts, ephys, metadata = read_tables(paths) if from_tables else read_stored(stored)
        if check:
            check_published(counts, ephys)
        mdata = to_mudata(counts, ephys, metadata)
        added.append(f"{mdata.n_obs} cells, {counts.shape[1]} genes, {ephys.shape[1]} features")
    return mdata


def read_tables(paths: Mapping[str, Path]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read counts, features and annotations of cells from the published tables."""
    metadata = read_metadata(paths["m1_patchseq_meta_data.csv"])
    return read_counts(paths["gene_counts.csv"]), read_ephys(paths["ephys_values.csv"]), metadata


def read_stored(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read the same from the one file of the reference data."""
    import mudata

    with without_pulling():
        stored = mudata.read_h5mu(path)
    return stored["rna"].to_df().astype(np.int64), stored["ephys"].to_df(), stored.obs[ANNOTATIONS]


def read_counts(path: "str | Path") -> pd.DataFrame:
    """Read gene_counts.csv (genes in rows, cells in columns) as cells by genes."""
    table = pd.read_csv(path, index_col=0)
    table.index, table.columns = table.index.astype(str), table.columns.astype(str)
    return table.T


def read_ephys(path: "str | Path") -> pd.DataFrame:
    """Read ephys_values.csv (cells in rows)."""
    table = pd.read_csv(path, index_col=0, dtype=str)  # pandas 2 rounds the last digit, float() does not
    table.index = table.index.astype(str)
    return table.astype(np.float64)


def read_metadata(path: "str | Path") -> pd.DataFrame:
    """Read the atlas' tab-separated metadata; cells are named as in the other tables (without underscores)."""
    table = pd.read_csv(path, sep="\t", dtype={"Cell": str}, encoding="utf-8")
    table.index = pd.Index(table["Cell"].str.replace("_", "", regex=False).str.strip())
    names = dict(zip(["RNA family", "RNA type", "RNA type confidence", "Cre", "Mouse"], ANNOTATIONS, strict=True))
    return table[list(names)].rename(columns=names)


def check_published(counts: pd.DataFrame, ephys: pd.DataFrame) -> None:
    """Raise unless the tables hold the published numbers."""
    ordered = counts.loc[sorted(counts.index), sorted(counts.columns)].to_numpy()
    found = hashlib.sha256(np.ascontiguousarray(ordered, dtype="<i8").tobytes()).hexdigest()
    values = ephys.loc[sorted(ephys.index)].to_numpy()
    weighted = float((np.linspace(1, 2, len(values)) @ values).sum())
    if found != COUNTS_SHA256 or not np.isclose(weighted, EPHYS_CHECKSUM, rtol=1e-9, atol=0):
        raise ValueError(
            "patchseq_m1: the tables read are not the published ones (counts "
            f"{'differ' if found != COUNTS_SHA256 else 'agree'}, ephys checksum {weighted!r}). Delete the cached files "
            "and download them again, or pass check=False."
        )


def to_mudata(counts: pd.DataFrame, ephys: pd.DataFrame, metadata: pd.DataFrame) -> MuData:
    """Join the tables; cells in the order of the features."""
    from anndata import AnnData

    shared = ephys.index[ephys.index.isin(counts.index)]
    if not len(shared):
        raise ValueError("patchseq_m1: counts and features share no cell name.")
    if len(shared) < max(len(ephys), len(counts)):
        logger.info("    %d cells are in both tables (%d with features)", len(shared), len(ephys))
    empty = pd.DataFrame(index=shared)
    matrix = sp.csr_matrix(counts.loc[shared].to_numpy(dtype=np.float32))
    rna = AnnData(matrix, obs=empty.copy(), var=pd.DataFrame(index=counts.columns))
    known = [DESCRIPTIONS.get(name, ("", "", "")) for name in ephys.columns]
    var = pd.DataFrame(known, index=ephys.columns, columns=["description", "unit", "transform"])
    measured = AnnData(ephys.loc[shared].to_numpy(), obs=empty.copy(), var=var)
    mdata = make_mudata({"rna": rna, "ephys": measured})
    for name, column in _annotations(metadata, mdata.obs_names).items():
        mdata.obs[name] = column
    mdata.obs["cv_fold"] = published_folds(mdata.n_obs)
    mdata.uns["source"] = {"doi": "10.1038/s41586-020-2907-3", "files": _SBNN, "cell_types": _ATLAS}
    return mdata


def _annotations(metadata: pd.DataFrame, cells: pd.Index) -> Mapping[str, Any]:
    table = metadata[~metadata.index.duplicated()].reindex(cells)
    found = {}
    for name, column in table.items():
        numeric = pd.api.types.is_numeric_dtype(column)
        found[str(name)] = column.to_numpy(dtype=np.float64) if numeric else pd.Categorical(column)
    return found


def published_folds(cells: int) -> NDArray[np.int64]:
    """Return the paper's fold of every cell: tenths of a permutation with NumPy's legacy seed 42, the rest -1."""
    order = np.random.RandomState(42).permutation(cells)
    size = cells // 10
    fold = np.full(cells, -1, dtype=np.int64)
    fold[order[: size * 10]] = np.repeat(np.arange(10), size)
    return fold
