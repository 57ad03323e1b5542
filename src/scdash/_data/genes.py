"""Lists of gene names as users hold them: the one resolver of names against the genes of the data or of a model."""

import re
from collections.abc import Container, Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.display import first_names
from scdash._core.errors import near_names
from scdash._core.logging import logger
from scdash._data.names import cause_of_mismatch, fraction_ensembl

LEAST_SHARED = 0.01  # of the list, or of the genes of the data: less than this hints at another kind of name
LEAST_LETTERS = 3  # of a gene that is looked for within a longer name
ENDS = re.compile(r"(?<![A-Za-z0-9])|(?![A-Za-z0-9])|(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[a-z])")
"""Where a name can end within a longer one: IFNG does not end in IFNGR1, nor STAT1 in STAT12; STAT1 does in STAT1g2."""
SHOWN = 10  # absent names that a message spells out with their near matches


def listed_names(wanted: str | Iterable[Any]) -> list[str]:
    """Return one name or several as a list of texts, each once, in the order given."""
    return [wanted] if isinstance(wanted, str) else list(dict.fromkeys(str(name) for name in wanted))


def present_genes(
    wanted: str | Iterable[Any], genes: Any, argument: str, var: pd.DataFrame | None = None
) -> NDArray[np.int64]:
    """Return the positions of those names that `genes` holds; absent ones are left out and counted in the log.

    For lists from elsewhere, such as all transcription factors of a species. `var`: other names of the genes, for the error
    (KeyError) where none of the names is there, or less than 1 % of both the list and the genes.
    """
    names, index = listed_names(wanted), pd.Index(genes).astype(str)
    if not names:
        raise ValueError(f"{argument} is empty: name at least one gene, or leave it out.")
    found = index.get_indexer(pd.Index(names, dtype=object))
    absent = [name for name, at in zip(names, found, strict=True) if at < 0]
    shared = len(names) - len(absent)
    if shared / max(len(names), 1) < LEAST_SHARED and shared / max(len(index), 1) < LEAST_SHARED or not shared:
        cause = cause_of_mismatch(pd.Index(names), index, argument) + _in_var(names, var)
        near = "" if fraction_ensembl(pd.Index(names)) > 0.5 else near_matches(absent, index)  # numbers are all alike
        raise KeyError(
            f"{argument}: {'none' if not shared else f'only {shared}'} of its {len(names)} names "
            f"{'is' if shared < 2 else 'are'} among the {len(index)} genes.{near}{cause} "
            f"Genes here: {_examples(index)}; in the list: {_examples(names)}."
        )
    if absent:
        logger.info(
            "    %s: %d of %d names are not among the genes and are left out (%s)%s",
            argument,
            len(absent),
            len(names),
            first_names(absent),
            _other_case(absent, index),
        )
    return np.asarray(found[found >= 0], dtype=np.int64)


def _in_var(names: list[str], var: pd.DataFrame | None) -> str:
    """Return what to write where a column of `adata.var` holds most of the names; "" where none does."""
    if var is None:
        return ""
    for column in var.columns:
        held = len(set(names) & set(var[column].astype(str).to_numpy()))
        if held > len(names) / 2:
            return (
                f" adata.var[{column!r}] holds {held} of them: pass adata.var_names[adata.var[{column!r}].isin(names)] "
                "instead of names."
            )
    return ""


def _other_case(absent: list[str], genes: pd.Index) -> str:
    """Return how many of the absent names the genes hold in other upper and lower case; "" where they hold none."""
    known = dict(zip(genes.str.lower(), genes, strict=True))
    pairs = [(name, known[name.lower()]) for name in absent if name.lower() in known]
    if not pairs:
        return ""
    return f"; {len(pairs)} of them would match if case were ignored ({pairs[0][1]!r} for {pairs[0][0]!r})"


def _examples(names: Iterable[Any]) -> str:
    return ", ".join(repr(str(name)) for name in list(names)[:3])


def all_genes(
    wanted: str | Iterable[Any],
    genes: Any,
    argument: str,
    *,
    where: str = "the model",
    error: type[KeyError] | type[ValueError] = KeyError,
) -> NDArray[np.int64]:
    """Return the position of every name in `genes`; an error names ALL absent ones, each with near matches.

    For lists that must be complete, such as the genes to perturb or to draw.
    """
    names = [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
    index = pd.Index(genes).astype(str)
    found = index.get_indexer(pd.Index(names, dtype=object))
    absent = list(dict.fromkeys(name for name, at in zip(names, found, strict=True) if at < 0))
    if absent:
        raise error(absent_message(absent, len(names), index, argument, where))
    return np.asarray(found, dtype=np.int64)


def absent_message(absent: list[str], of: int, genes: pd.Index, argument: str, where: str) -> str:
    """Return the sentence that names all absent genes and their near matches."""
    listed = ", ".join(repr(name) for name in absent)
    start = f"{argument}: {listed} is not in {where}."
    if len(absent) > 1:
        start = f"{argument}: {len(absent)} of {of} names are not in {where}: {listed}."
    shown = ", ".join(map(str, genes[:8])) + (f", ... ({len(genes)} in all)" if len(genes) > 8 else "")
    chosen = " It holds the genes that were chosen for the fit, see mask_var." if where == "the model" else ""
    return f"{start}{near_matches(absent, genes)} Available: [{shown}].{chosen}"


def near_matches(absent: Iterable[str], genes: Iterable[Any]) -> str:
    """Return " Did you mean ...?" with the nearest names of the first absent ones, "" where nothing comes near."""
    options = [str(gene) for gene in genes]
    found = [(name, near_names(name, options, most=2)) for name in list(absent)[:SHOWN]]
    pairs = [(name, " or ".join(map(repr, near))) for name, near in found if near]
    if not pairs:
        return ""
    if len(pairs) == 1:
        return f" Did you mean {pairs[0][1]}?"
    return " Did you mean " + "; ".join(f"{near} for {name!r}" for name, near in pairs) + "?"


def genes_within(text: str, genes: Container[str]) -> list[tuple[int, int]]:
    """Return where a text holds whole names of genes, from left to right, the longest at each place.

    >>> genes_within("sgSTAT1_JAK2", {"STAT1", "JAK2"})
    [(2, 7), (8, 12)]
    """
    places = [match.start() for match in ENDS.finditer(text)]
    found: list[tuple[int, int]] = []
    for start in places:
        ends = [end for end in places if end - start >= LEAST_LETTERS and text[start:end] in genes]
        if ends and (not found or start >= found[-1][1]):
            found.append((start, max(ends)))
    return found
