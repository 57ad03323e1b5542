"""The fitted network for other tools: graphs, tables and sets of genes, in memory or as files."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import pandas as pd

from scdash._core.errors import check_choice, unused
from scdash._core.process_state import guarded
from scdash._core.tables import ranked_edges
from scdash.get import _formats
from scdash.get._filters import chosen_edges

if TYPE_CHECKING:
    import networkx
    from anndata import AnnData

Format = Literal["networkx", "graphml", "decoupler", "regulons", "celloracle"]
#: what `network` returns, by its format
Network: TypeAlias = "networkx.DiGraph | pd.DataFrame | dict[str, pd.DataFrame] | dict[str, list[str]] | str | Path"


@guarded
def network(
    adata: "AnnData",
    *,
    format: Format = "networkx",
    path: str | os.PathLike[str] | None = None,
    key: str = "dynamics",
    source: str | Iterable[str] | None = None,
    target: str | Iterable[str] | None = None,
    top: int | None = None,
    min_weight: float | None = None,
) -> Network:
    """Return the fitted network in the form that another tool reads.

    Only edges of the fitted network are in it (weight not 0), no edge that the prior alone has.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` or `scdash.tl.fit_perturbode` has written to.
    format
        - ``"networkx"``: a `networkx.DiGraph`. Edges have `weight`, `sign` ("activates" or "represses") and the
          columns of `scdash.get.grn` that are known of them; nodes have `is_regulator` and `n_targets`.
        - ``"graphml"``: the same graph as GraphML, which Cytoscape, Gephi, yEd and igraph open.
        - ``"decoupler"``: a table with `source`, `target` and `weight`, the `net` of every method of decoupler.
        - ``"regulons"``: `scdash.get.regulons` with all its defaults, for AUCell, gseapy and GSEA.
        - ``"celloracle"``: a dictionary with one table of links, for ``celloracle.Links("scdash", links_dict=...)``;
          `coef_mean` is the weight and `coef_abs` its absolute value. A fit has no p-values: `p` and `-logp` are
          missing, so call ``filter_links(p=None)`` there, or filter here.
    path
        File to write: GraphML (``"graphml"``), CSV (``"decoupler"``, ``"celloracle"``) or GMT (``"regulons"``). Missing
        folders are made.
    key
        The `key_added` of the fit.
    source, target, top, min_weight
        As in `scdash.get.grn`: which edges are exported.

    Returns
    -------
    networkx.DiGraph or DataFrame or dict or str or Path
        As `format` says (``"graphml"``: a text), or the path of the file that was written.

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.
    ValueError
        If `format` is unknown, or a `path` is given for a graph that stays in memory.

    See Also
    --------
    scdash.get.grn : The same edges as a table with everything that is known of them.
    scdash.get.regulons : Targets of every regulator.
    scdash.pl.network : Draw the strongest edges.

    Examples
    --------
    >>> graph = scdash.get.network(adata)
    >>> regulators = [gene for gene, node in graph.nodes(data=True) if node["is_regulator"]]
    >>> scdash.get.network(adata, format="decoupler", top=100).columns.tolist()
    ['source', 'target', 'weight']
    """
    check_choice("format", format, get_args(Format))
    edges = ranked_edges(adata, key, only_network=True)
    edges = chosen_edges(adata, edges, key, source=source, target=target, top=top, min_weight=min_weight)
    if format == "networkx":
        if path is not None:
            raise unused("path", 'format="networkx" returns a graph; format="graphml" writes it to a file')
        return _formats.as_networkx(edges)
    if format == "graphml":
        text = _formats.graphml_text(_formats.as_networkx(edges))
        return _formats.written(text, path, _formats.write_text)
    if format == "decoupler":
        table = edges[["source", "target", "weight"]].astype({"weight": float}).reset_index(drop=True)
        return _formats.written(table, path, _formats.write_csv)
    if format == "celloracle":
        links = _formats.as_celloracle(edges, key)
        return _formats.written(links, path, lambda content, where: _formats.write_csv(content[key], where))
    return _written_sets(_formats.as_regulons(edges, 1), path, key)


@guarded
def regulons(
    adata: "AnnData",
    *,
    min_targets: int = 1,
    path: str | os.PathLike[str] | None = None,
    key: str = "dynamics",
    source: str | Iterable[str] | None = None,
    target: str | Iterable[str] | None = None,
    top: int | None = None,
    min_weight: float | None = None,
) -> "dict[str, list[str]] | Path":
    """Return the targets of every regulator, those that it activates and those that it represses apart.

    Names are those of pySCENIC: "MYOG(+)" holds what MYOG activates, "MYOG(-)" what it represses.

    Parameters
    ----------
    adata
        AnnData that `scdash.tl.fit_dynamics` or `scdash.tl.fit_perturbode` has written to.
    min_targets
        Regulons with fewer targets are left out. AUCell and gene-set tests want about 5 or 10.
    path
        GMT file to write, for AUCell, gseapy or GSEA. Missing folders are made.
    key
        The `key_added` of the fit.
    source, target, top, min_weight
        As in `scdash.get.grn`: which edges are counted.

    Returns
    -------
    dict or Path
        Name of each regulon and its targets, the strongest first; the largest regulon first. With `path` the path of the
        file.

    Raises
    ------
    NotFittedError
        If no fit is stored under `key`.
    ValueError
        If `min_targets` is no whole number of at least 1, or a name cannot be written to a GMT file.

    See Also
    --------
    scdash.get.network : Other forms of the network.
    scdash.tl.pathways : Test sets of genes for their influence in the model.

    Examples
    --------
    >>> regulons = scdash.get.regulons(adata, min_targets=2)
    >>> all(len(targets) >= 2 for targets in regulons.values())
    True
    """
    edges = ranked_edges(adata, key, only_network=True)
    edges = chosen_edges(adata, edges, key, source=source, target=target, top=top, min_weight=min_weight)
    found: dict[str, list[str]] | Path = _written_sets(_formats.as_regulons(edges, min_targets), path, key)
    return found


def _written_sets(sets: dict[str, list[str]], path: str | os.PathLike[str] | None, key: str) -> Any:
    return _formats.written(sets, path, lambda content, where: _formats.write_gmt(content, where, f"scdash {key}"))
