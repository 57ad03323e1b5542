"""`assign_guides`: from guides, counted or labelled, to perturbations."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.display import first_names
from scdash._core.errors import check_choice, check_least
from scdash._core.labels import CONTROL_GUIDES, check_key
from scdash._core.logging import logger, step
from scdash._core.process_state import guarded
from scdash._data import check_adata, check_log, expression, sanitise, writable
from scdash._data.screen import parse_screen
from scdash.pp._escapers import escaping, perturbed_probability
from scdash.pp._guide_calls import Labels, call_guides, guide_table, label_cells, missing_where
from scdash.pp._guide_counts import GuideTable, read_guides
from scdash.pp._guide_names import genes_of_guides
from scdash.screens.batches import centre_batches, leave_out_unlabelled, read_groups


@guarded
def assign_guides(
    adata: AnnData,
    guides: "str | pd.DataFrame | AnnData | None" = None,
    *,
    guide_key: str | None = None,
    guide_names: str | Sequence[str] | None = None,
    targets: str | Mapping[str, str] | None = None,
    pattern: str | None = None,
    control_pattern: str = CONTROL_GUIDES,
    control: str = "control",
    threshold: Literal["mixture"] | float = "mixture",
    min_count: float = 3,
    dominance: float | None = None,
    multiple: Literal["drop", "combine"] = "drop",
    separator: str = "+",
    escapers: Literal["keep", "flag", "drop"] = "keep",
    batch_key: str | None = None,
    layer: str | None = None,
    key_added: str = "perturbation",
    copy: bool = False,
) -> AnnData | None:
    r"""Say which gene is perturbed in each cell, from counts of guides or from labels such as `"STAT1g2"`.

    Several guides of a gene are replicates of its perturbation: `PerturbODE(guide_key="perturbation_guide")` makes use of
    them.

    Parameters
    ----------
    adata
        Cells by genes.
    guides
        Counts of guides: the name of a table in `obsm`, a DataFrame (cells, guides), or an AnnData of cells by guides, such
        as the modality `mdata.mod["guides"]` of a MuData. Tables with names of cells are matched by these; cells that
        they lack have no guide. Values of 0 and 1 are taken as calls.
    guide_key
        Column of `obs` with the guide of each cell, instead of `guides`; several guides of a cell stand between `|`, `;` or
        `,`.
    guide_names
        Names of the guides where `obsm` holds a bare matrix: a list, or the key of `uns` that holds it.
    targets
        Gene of each guide: a mapping, or a column of `guides.var`. Without it, names of guides say it.
    pattern
        Regular expression of a guide's name with the gene as its first group, such as `"^(.+)_exon[0-9]+$"`. None: the form
        that most guides have out of `GENEg1`, `sgGENE_1`, `GENE-1`, `GENE_sg1`, `GENE_+_74376132.23-P1P2` and
        `GENE_ACGTACGTACGTACGTACGT`; a guide that is called as a gene of the data is that gene.
    control_pattern
        Regular expression of guides that target nothing, in any case; the default finds `NTg3`, `NTC_1`,
        `non-targeting_0001`, `negCtrl0`, `safe-targeting-2`, `scrambled` and the like.
    control
        Label of cells that have such guides alone.
    threshold
        Fewest counts of a guide in a cell that has it. "mixture": for every guide where a mixture of background (Poisson)
        and signal (normal), fitted to the log2 counts, says that the signal is more likely (Replogle et al. 2020).
    min_count
        Least threshold from a mixture.
    dominance
        Fraction of a cell's guide counts that its strongest guide must have, such as 0.8: the cell has this guide alone, and
        no guide otherwise. For screens in which every cell should have one guide. None: no such rule.
    multiple
        What becomes of cells with guides of several genes: "drop", they get no label, since in a screen with one guide a
        cell they are mostly doublets; "combine", the genes are joined by `separator`. Guides of one gene, or beside control
        guides, are no such case.
    separator
        Between the genes of a combination, and the guides of a cell.
    escapers
        Cells that carry a guide and show no effect of it. "keep": they are not looked for. "flag": for each perturbation the
        cells are projected on the direction from control to perturbed cells over the differential genes (Welch's test,
        false discovery rate 0.05, at least 0.25 in natural logarithms), and a mixture of two normal distributions, one fixed
        to the control cells, says which are perturbed (Mixscape, Papalexi et al. 2021). "drop": those that are not get
        no label. Needs log-normalised expression.
    batch_key
        Column of `obs` with batches, on whose own control cells expression is centred before escaping cells are looked for.
    layer
        Layer with log-normalised expression for `escapers`, instead of X.
    key_added
        Name of the labels.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    AnnData or None
        None, or the copy. Written:
    `obs[key_added]` : categorical
        `control`, a gene, or genes joined by `separator`; missing for cells without a guide.
    `obs[f"{key_added}_guide"]` : categorical
        The guide of each cell, or its guides joined by `separator`; missing where the label is.
    `obs[f"{key_added}_n_guides"]` : int
        Guides of each cell.
    `obs[f"{key_added}_escaping"]` : bool, `obs[f"{key_added}_probability"]` : float
        With `escapers`: whether the cell escaped, and the probability that it is perturbed (NaN for control cells).
    `uns[f"{key_added}_guides"]` : DataFrame
        One row a guide: `guide`, `perturbation`, `threshold` (fewest counts), `cells` that have it, and `used`, those of them
        with a label.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the guides cannot be read or no cell has one, if `pattern` finds no gene in a name, or if no guide is a control.

    See Also
    --------
    scdash.pp.filter_perturbations : Which perturbations changed their targets.
    scdash.tl.fit_perturbode : Learn the network of a screen; guides are replicates (`guide_key`).

    Examples
    --------
    >>> import anndata as ad, numpy as np, pandas as pd, scdash
    >>> obs = pd.DataFrame({"guide": ["STAT1g1", "STAT1g2", "NTg1"]}, index=["a", "b", "c"])
    >>> adata = ad.AnnData(np.ones((3, 1), np.float32), obs=obs, var=pd.DataFrame(index=["STAT1"]))
    >>> scdash.pp.assign_guides(adata, guide_key="guide")
    >>> list(adata.obs["perturbation"])
    ['STAT1', 'STAT1', 'control']
    """
    check_adata(adata, min_cells=1)
    check_key(key_added)
    _check(threshold, min_count, dominance, multiple, escapers)
    with step("assigning guides to cells") as added:
        table = read_guides(adata, guides, guide_key, guide_names, targets)
        called, least = _calls(table, threshold=threshold, min_count=min_count, dominance=dominance)
        genes = genes_of_guides(
            table.names,
            set(adata.var_names.astype(str)),
            pattern=pattern,
            controls=control_pattern,
            targets=table.targets,
        )
        _check_guides(called, genes, control_pattern)
        targeted = [genes[name] for name in table.names]
        labels, guide, n_guides = label_cells(
            called, targeted, table.names, control, separator, combine=multiple == "combine"
        )
        columns: dict[str, Any] = {}
        if escapers != "keep":
            probability = _probabilities(adata, labels, control, separator, layer, batch_key)
            lost = escaping(probability)
            columns = {f"{key_added}_escaping": lost, f"{key_added}_probability": probability}
            added.append(f"{int(lost.sum())} of {int(np.isfinite(probability).sum())} perturbed cells escaped")
            if escapers == "drop":
                labels, guide = missing_where(labels, lost), missing_where(guide, lost)
        columns = {key_added: labels, f"{key_added}_guide": guide, f"{key_added}_n_guides": n_guides} | columns
        found = guide_table(called, table.names, genes, least, labels, control)
        out = writable(adata, copy=copy)
        for name, values in columns.items():
            out.obs[name] = values
        out.uns[f"{key_added}_guides"] = sanitise(found)
        known = int((labels.codes >= 0).sum())
        added.append(f"{known} of {adata.n_obs} cells have one of {len(labels.categories)} labels")
        added.append(f"added {', '.join(f'obs[{name!r}]' for name in columns)}, uns[{key_added + '_guides'!r}]")
    return out if copy else None


def _check(threshold: Any, min_count: float, dominance: float | None, multiple: str, escapers: str) -> None:
    """Raise for settings out of range."""
    check_choice("multiple", multiple, ("drop", "combine"))
    check_choice("escapers", escapers, ("keep", "flag", "drop"))
    if threshold != "mixture" and (isinstance(threshold, str) or not threshold > 0):
        raise ValueError(f"threshold must be 'mixture' or a positive number of counts, found {threshold!r}.")
    check_least("min_count", min_count, 1)
    if dominance is not None and not 0 < dominance <= 1:
        raise ValueError(f"dominance must lie in (0, 1], found {dominance!r}.")


def _calls(
    table: GuideTable, *, threshold: Any, min_count: float, dominance: float | None
) -> tuple[sp.csr_matrix, NDArray[np.float64]]:
    """Return which guides each cell has; labels and tables of 0 and 1 say so themselves."""
    if table.are_calls:
        threshold = 1.0
    elif threshold == "mixture" and not np.array_equal(table.counts.data, np.rint(table.counts.data)):
        raise ValueError("guides are not counts (whole numbers): pass raw counts, or a number as threshold.")
    return call_guides(table.counts, threshold=threshold, min_count=min_count, dominance=dominance)


def _check_guides(called: sp.csr_matrix, genes: Mapping[str, str | None], control_pattern: str) -> None:
    """Raise where no cell has a guide, or no guide is a control."""
    if not called.nnz:
        raise ValueError(
            "No cell has a guide: lower threshold, min_count or dominance, or check that guides are counts."
        )
    if None not in genes.values():
        raise ValueError(
            f"control_pattern={control_pattern!r} finds no control among the {len(genes)} guides, such as "
            f"{', '.join(map(repr, list(genes)[:5]))}; name those that target nothing."
        )
    controls = [name for name, gene in genes.items() if gene is None]
    shown = first_names(controls)
    logger.info("    %d of %d guides are controls: %s", len(controls), len(genes), shown)


def _probabilities(
    adata: AnnData, labels: Labels, control: str, separator: str, layer: str | None, batch_key: str | None
) -> NDArray[np.float64]:
    """Return the probability of each cell that it is perturbed; NaN for control cells and cells without a label."""
    values = expression(adata, layer=layer)
    check_log(values)
    screen = parse_screen(pd.Series(labels), values.genes, control=control, separator=separator, missing="keep")
    batch = read_groups(adata, batch_key, "batch_key")
    screen = leave_out_unlabelled(screen, None if batch is None else batch[0], "batch")
    return perturbed_probability(centre_batches(values, screen, batch, min_cells=10), screen)
