"""A table of edges in the forms that other tools read, and those forms as files."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import networkx

# Columns of `scdash.get.grn` that go along with an edge where the table has them.
CARRIED = ("contribution", "in_prior", "selection_frequency", "stability", "score", "association", "rank")

NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def as_networkx(edges: pd.DataFrame) -> "networkx.DiGraph":
    """Return a directed graph: every edge has its `weight`, its `sign` in words and what is known of it."""
    import networkx

    graph = networkx.DiGraph()
    carried = [name for name in CARRIED if name in edges]
    graph.add_nodes_from(pd.unique(pd.concat([edges["source"], edges["target"]])).tolist())
    for row in edges.to_dict("records"):
        known = {name: _plain(row[name]) for name in carried if not pd.isna(row[name])}  # GraphML has no missing values
        weight = float(row["weight"])
        sign = "activates" if weight > 0 else "represses"
        graph.add_edge(row["source"], row["target"], weight=weight, sign=sign, **known)
    regulators = set(edges["source"])
    for gene, node in graph.nodes(data=True):
        node["is_regulator"] = gene in regulators
        node["n_targets"] = int(graph.out_degree(gene))
    return graph


def as_celloracle(edges: pd.DataFrame, name: str) -> dict[str, pd.DataFrame]:
    """Return what `celloracle.Links(name, links_dict=...)` takes: one table of links, under the name of the fit.

    CellOracle's `p` and `-logp` come from a bagging of regressions that a fit here does not do: they are missing.
    """
    weight = edges["weight"].astype(float)
    links = pd.DataFrame({"source": edges["source"], "target": edges["target"], "coef_mean": weight})
    links = links.assign(coef_abs=weight.abs(), p=np.nan).assign(**{"-logp": np.nan})
    return {name: links.reset_index(drop=True)}


def as_regulons(edges: pd.DataFrame, min_targets: int) -> dict[str, list[str]]:
    """Return the targets of every regulator, those it activates under "name(+)", those it represses under "name(-)"."""
    if isinstance(min_targets, bool) or int(min_targets) != min_targets or min_targets < 1:
        raise ValueError(f"min_targets must be a whole number of at least 1, found {min_targets!r}.")
    order = edges.assign(size=edges["weight"].abs()).sort_values("size", ascending=False, kind="stable")
    names = order["source"] + np.where(order["weight"] > 0, "(+)", "(-)")
    groups = order.groupby(names, sort=False)["target"].agg(list)
    found = {str(name): targets for name, targets in groups.items() if len(targets) >= min_targets}
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def written(content: Any, path: str | os.PathLike[str] | None, write: Callable[[Any, Path], None]) -> Any:
    """Return the content, or write it and return the path of the file."""
    if path is None:
        return content
    where = Path(path)
    where.parent.mkdir(parents=True, exist_ok=True)
    write(content, where)
    return where


def graphml_text(graph: "networkx.DiGraph") -> str:
    """Return a graph as GraphML, the XML that Cytoscape, Gephi and yEd read."""
    import networkx

    broken = [str(name) for name in graph if NOT_IN_XML.search(str(name))]
    if broken:
        raise ValueError(f"format: GraphML cannot hold the name {broken[0]!r}, which has a control character in it.")
    return "\n".join(networkx.generate_graphml(graph))


def write_text(text: str, path: Path) -> None:
    """Write a text as UTF-8."""
    path.write_text(text, encoding="utf-8")


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV without an index."""
    table.to_csv(path, index=False)


def write_gmt(sets: Mapping[str, list[str]], path: Path, source: str) -> None:
    """Write sets of genes as GMT: name, source and genes of every set, separated by tabs."""
    broken = [name for names in ([*sets], *sets.values()) for name in names if any(mark in name for mark in "\t\r\n")]
    if broken:
        raise ValueError(f"path: a GMT file cannot hold the name {broken[0]!r}, which has a tab or a line break in it.")
    write_text("".join("\t".join([name, source, *genes]) + "\n" for name, genes in sets.items()), path)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
