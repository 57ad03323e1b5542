"""Gene sets: reading GMT files (plain or gzip), and their membership in a universe of modelled genes.

gseapy refuses `.gmt.gz` and fetches libraries by name from the network; nothing here ever leaves the machine.
"""

import gzip
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.logging import logger

SHIPPED = ("go_bp", "go_mf")
GZIP_MAGIC = b"\x1f\x8b"
WEIGHT = re.compile(r",[0-9.eE+-]+$")
FEW = 0.1  # fraction of the genes found in any set below which names are suspected


def resolve_gene_sets(gene_sets: str | os.PathLike[str] | Mapping[str, Iterable[str]]) -> Mapping[str, Iterable[str]]:
    """Return name -> genes of a shipped collection, a GMT file or a mapping."""
    if isinstance(gene_sets, Mapping):
        if not gene_sets:
            raise ValueError("gene_sets is empty.")
        return gene_sets
    if not isinstance(gene_sets, str | os.PathLike):
        raise TypeError(f"gene_sets must be 'go_bp', 'go_mf', a path or a dict, found {type(gene_sets).__name__}.")
    if str(gene_sets) in SHIPPED:
        return read_gmt(str(files("scdash.datasets").joinpath("data", f"{gene_sets}.gmt.gz")))
    return read_gmt(gene_sets)


def read_gmt(path: str | os.PathLike[str]) -> dict[str, tuple[str, ...]]:
    """Read a GMT file: one set a line, tab-separated name, source, genes; compressed or not, whatever its suffix.

    Blank lines and comments (#) are skipped; genes are stripped, weights after a comma (Enrichr's "GENE,1.0") cut,
    repeated genes kept once. Two sets of one name that differ keep both, the later one with its source in brackets.

    `path`: the file.

    The result is a dict from set name to its genes, in the order of the file.
    """
    sets: dict[str, tuple[str, ...]] = {}
    skipped = 0
    for number, line in enumerate(_lines(Path(path)), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = [field.strip() for field in line.rstrip("\r\n").split("\t")]
        if len(fields) < 2:
            raise ValueError(
                f"{path}, line {number}: a GMT line is a name, a source and genes separated by tabs, found {line[:80]!r}."
            )
        genes = _clean(fields[2:])
        if not fields[0] or not genes:
            skipped += 1
        else:
            _insert(sets, fields[0], fields[1], genes)
    if not sets:
        raise ValueError(f"{path} holds no gene set with a name and at least one gene.")
    if skipped:
        logger.warning("%s: skipped %d lines without a name or without genes.", path, skipped)
    return sets


def _lines(path: Path) -> list[str]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"No gene set file {str(path)!r}. `gene_sets` is 'go_bp', 'go_mf', a dict or a local GMT file; library names "
            "are not fetched from the network: download the GMT once and give its path."
        ) from None
    try:
        return (gzip.decompress(raw) if raw[:2] == GZIP_MAGIC else raw).decode("utf-8-sig").splitlines()
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise ValueError(f"{path} is not a text file of gene sets (GMT): {error}.") from error


def _clean(fields: Iterable[object]) -> tuple[str, ...]:
    names = (WEIGHT.sub("", str(field)).strip() for field in fields)
    return tuple(dict.fromkeys(name for name in names if name))


def _insert(sets: dict[str, tuple[str, ...]], name: str, source: str, genes: tuple[str, ...]) -> None:
    unique, copies = name, 1
    while unique in sets:
        if set(sets[unique]) == set(genes):
            return
        copies += 1
        unique = f"{name} [{source or copies}]" if copies == 2 else f"{name} [{source} {copies}]"
    sets[unique] = genes


@dataclass(frozen=True)
class Membership:
    """Gene sets restricted to the genes at hand: which of the tested sets holds which gene."""

    names: NDArray[Any]  # (sets,), str
    matrix: sp.csr_matrix  # (sets, genes), 0/1
    genes: NDArray[Any]  # (genes,), str: the universe
    full_sizes: NDArray[np.int64]  # (sets,), genes of each set whether in the universe or not
    excluded: dict[str, int]  # why other sets are not tested: {"too small": .., "too large": ..}

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Genes of each set within the universe, (sets,)."""
        return np.asarray(np.diff(self.matrix.indptr), dtype=np.int64)

    def members(self, row: int) -> NDArray[np.int64]:
        """Return the columns of the genes of one set."""
        return np.asarray(self.matrix.indices[self.matrix.indptr[row] : self.matrix.indptr[row + 1]], dtype=np.int64)


def membership(
    gene_sets: Mapping[str, Iterable[str]],  # name to genes
    genes: Iterable[str],  # the modelled genes; every one may be given once
    *,
    min_size: int = 10,
    max_size: int = 500,
    annotated_only: bool = True,
) -> Membership:
    """Restrict gene sets to `genes` and keep those of `min_size` to `max_size` genes among them.

    `min_size`, `max_size`: limits on the number of modelled genes of a set. `annotated_only`: let the universe be the
    genes that occur in any set (before the size limits), as in B.8 of Hossain et al. 2024: genes nobody has annotated
    cannot be in a pathway, and often have other scores. Otherwise all genes.
    """
    if not 1 <= min_size <= max_size:
        raise ValueError(f"min_size and max_size must satisfy 1 <= min_size <= max_size, found {min_size}, {max_size}.")
    universe = pd.Index([str(gene) for gene in genes])
    if universe.has_duplicates:
        raise ValueError(f"genes must be unique, found {universe[universe.duplicated()][0]!r} more than once.")
    members = {str(name): _clean(_as_genes(name, found)) for name, found in gene_sets.items()}
    columns = {name: universe.get_indexer(pd.Index(found, dtype=object)) for name, found in members.items()}
    columns = {name: np.sort(found[found >= 0]) for name, found in columns.items()}
    used = np.unique(np.concatenate([np.empty(0, np.int64), *columns.values()]))
    _check_overlap(universe, members, len(used))
    kept = universe.take(used) if annotated_only else universe
    new = np.full(len(universe), -1)
    new[used if annotated_only else np.arange(len(universe))] = np.arange(len(kept))
    tested = [name for name, found in columns.items() if min_size <= len(found) <= max_size]
    excluded = {
        "too small": sum(len(found) < min_size for found in columns.values()),
        "too large": sum(len(found) > max_size for found in columns.values()),
    }
    if not tested:
        raise ValueError(
            f"None of the {len(members)} gene sets has {min_size} to {max_size} of the {len(universe)} modelled genes "
            f"({excluded['too small']} too small, {excluded['too large']} too large). Lower min_size or model more genes."
        )
    indptr = np.concatenate([[0], np.cumsum([len(columns[name]) for name in tested])])
    indices = new[np.concatenate([columns[name] for name in tested])]
    matrix = sp.csr_matrix((np.ones(len(indices)), indices, indptr), shape=(len(tested), len(kept)))
    full = np.array([len(members[name]) for name in tested], dtype=np.int64)
    return Membership(np.array(tested, dtype=str), matrix, np.asarray(kept, dtype=str), full, excluded)


def _as_genes(name: object, found: Iterable[str]) -> list[str]:
    if isinstance(found, str):
        raise TypeError(f"gene_sets[{name!r}] must be a list of genes, found the string {found[:40]!r}.")
    return list(found)


def _check_overlap(universe: pd.Index, members: Mapping[str, tuple[str, ...]], overlap: int) -> None:
    if overlap and overlap >= FEW * len(universe):
        return
    known = set().union(*members.values()) if members else set()
    folded = {gene.upper() for gene in known}
    same = sum(gene.upper() in folded for gene in universe)
    hint = "Check that both use the same species and the same kind of name."
    if same > 2 * overlap:
        hint = f"{same} would match if upper and lower case were ignored: mouse and human symbols differ in case."
    elif any(gene.startswith(("ENSG", "ENSMUSG")) for gene in universe[:50]):
        hint = "The data use Ensembl ids, the sets other names: put symbols into var_names."
    message = f"{overlap} of {len(universe)} modelled genes occur in any gene set. {hint}"
    if not overlap:
        raise ValueError(message)
    logger.warning(message)
