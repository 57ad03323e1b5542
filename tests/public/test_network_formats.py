"""The network for other tools: what they read from it is what `get.grn` says, in memory and from files."""

import io

import networkx as nx
import numpy as np
import pandas as pd
import pytest

import scdash
from scdash._core.errors import NotFittedError
from scdash.get import _formats

from .cases import _fitted, _screen_fit

MAKERS = {"time course": _fitted, "screen": _screen_fit}


@pytest.fixture(params=MAKERS)
def fit(request):
    return MAKERS[request.param]()


@pytest.fixture
def edges(fit):
    return scdash.get.grn(fit, only_network=True)


def weights(table):
    return {(row.source, row.target): row.weight for row in table.itertuples()}


def test_a_graph_has_exactly_the_edges_of_the_network(fit, edges):
    graph = scdash.get.network(fit)
    assert isinstance(graph, nx.DiGraph)
    assert {pair: data["weight"] for *pair, data in graph.edges(data=True) for pair in [tuple(pair)]} == weights(edges)
    source, target, data = next(iter(graph.edges(data=True)))
    assert fit.varp["dynamics_grn"][fit.var_names.get_loc(source), fit.var_names.get_loc(target)] == pytest.approx(
        data["weight"], rel=1e-5
    )  # a row regulates a column
    assert all((d["sign"] == "activates") == (d["weight"] > 0) for *_, d in graph.edges(data=True))
    assert {gene for gene, d in graph.nodes(data=True) if d["is_regulator"]} == set(edges["source"])
    assert all(d["n_targets"] == graph.out_degree(gene) for gene, d in graph.nodes(data=True))


def test_graphml_is_read_by_networkx_as_the_same_graph(fit, tmp_path):
    graph = scdash.get.network(fit)
    path = scdash.get.network(fit, format="graphml", path=tmp_path / "new" / "grn.graphml")
    text = scdash.get.network(fit, format="graphml")
    for found in (nx.read_graphml(path), nx.parse_graphml(text)):
        assert found.is_directed() and set(found.nodes) == set(graph.nodes) and set(found.edges) == set(graph.edges)
        for one, other, data in graph.edges(data=True):
            assert found.edges[one, other] == pytest.approx(data)
        assert dict(found.nodes(data=True)) == dict(graph.nodes(data=True))


def test_a_missing_value_is_left_out_of_a_graph(edges):
    table = edges.assign(stability=np.nan)
    graph = _formats.as_networkx(table)
    assert all("stability" not in data and "score" in data for *_, data in graph.edges(data=True))


def test_decouplers_long_format(fit, edges, tmp_path):
    net = scdash.get.network(fit, format="decoupler")
    assert list(net) == ["source", "target", "weight"] and not net.duplicated(["source", "target"]).any()
    assert weights(net) == weights(edges)
    path = scdash.get.network(fit, format="decoupler", path=tmp_path / "net.csv")
    pd.testing.assert_frame_equal(pd.read_csv(path, float_precision="round_trip"), net, check_dtype=False)


def test_decoupler_finds_its_regulators(fit):
    decoupler = pytest.importorskip("decoupler")
    net = scdash.get.network(fit, format="decoupler")
    values = pd.DataFrame(
        np.asarray(fit.X.todense() if hasattr(fit.X, "todense") else fit.X)[:9], columns=fit.var_names
    )
    scores, p = decoupler.mt.ulm(values, net, tmin=1)
    assert (
        set(scores.columns) == set(net["source"]) and np.isfinite(scores.to_numpy()).all() and p.shape == scores.shape
    )


def test_celloracles_links(fit, edges, tmp_path):
    links = scdash.get.network(fit, format="celloracle")
    assert list(links) == ["dynamics"]
    (table,) = links.values()
    assert list(table) == ["source", "target", "coef_mean", "coef_abs", "p", "-logp"]
    assert weights(table.rename(columns={"coef_mean": "weight"})) == weights(edges)
    assert (table["coef_abs"] == table["coef_mean"].abs()).all() and table[["p", "-logp"]].isna().all(axis=None)
    path = scdash.get.network(fit, format="celloracle", path=tmp_path / "links.csv")
    assert list(pd.read_csv(path)) == list(table)


def test_regulons_are_the_targets_by_sign_the_strongest_first(fit, edges):
    found = scdash.get.regulons(fit)
    assert sum(map(len, found.values())) == len(edges)
    for name, targets in found.items():
        gene, sign = name[:-3], name[-3:]
        own = edges[(edges["source"] == gene) & ((edges["weight"] > 0) == (sign == "(+)"))]
        assert set(targets) == set(own["target"])
        sizes = own.set_index("target")["weight"].abs()[targets]
        assert sizes.is_monotonic_decreasing
    sizes = [len(targets) for targets in found.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert scdash.get.network(fit, format="regulons") == found
    most = max(sizes)
    assert scdash.get.regulons(fit, min_targets=most) == {n: t for n, t in found.items() if len(t) >= most}


def test_gseapy_and_we_read_the_gmt_file(fit, tmp_path):
    from gseapy.parser import read_gmt

    found = scdash.get.regulons(fit)
    path = scdash.get.regulons(fit, path=tmp_path / "regulons.gmt")
    assert read_gmt(str(path)) == found
    assert scdash.get.network(fit, format="regulons", path=tmp_path / "same.gmt").read_text() == path.read_text()
    from scdash.networks.pathways.gene_sets import read_gmt as own

    assert {name: list(genes) for name, genes in own(path).items()} == found


def test_filters_of_the_table(fit, edges):
    first = edges["source"].iloc[0]
    table = scdash.get.grn(fit, only_network=True, source=first)
    pd.testing.assert_frame_equal(table, edges[edges["source"] == first].reset_index(drop=True))
    both = list(edges["target"].unique()[:2])
    assert set(scdash.get.grn(fit, target=both)["target"]) == set(both)
    size = float(edges["weight"].abs().median())
    large = scdash.get.grn(fit, min_weight=size)
    assert len(large) == (edges["weight"].abs() >= size).sum() and large["weight"].abs().min() >= size
    assert scdash.get.grn(fit, min_weight=size, top=2).equals(large.head(2))
    assert scdash.get.grn(fit, top=10**6).equals(scdash.get.grn(fit))
    for form in ("networkx", "decoupler"):
        assert len(getattr(scdash.get.network(fit, format=form, source=first), "edges", table)) == len(table)
    assert sum(map(len, scdash.get.regulons(fit, top=3).values())) == 3


def test_ranks_stay_those_of_the_whole_network(fit, edges):
    last = edges["source"].iloc[-1]
    whole = scdash.get.grn(fit)
    part = scdash.get.grn(fit, source=last)
    assert part["rank"].tolist() == whole.loc[whole["source"] == last, "rank"].tolist()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"source": "nobody"}, KeyError, "source: 'nobody' is not in the model"),
        ({"target": []}, ValueError, "target is empty"),
        ({"top": 0}, ValueError, "top must be a whole number of at least 1, found 0"),
        ({"top": 1.5}, ValueError, "top must be"),
        ({"min_weight": -1.0}, ValueError, "min_weight must be a number of at least 0, found -1.0"),
        ({"min_weight": np.nan}, ValueError, "min_weight must be"),
    ],
)
def test_bad_filters_are_named(fit, arguments, error, message):
    for function in (scdash.get.grn, scdash.get.network, scdash.get.regulons):
        with pytest.raises(error, match=message):
            function(fit, **arguments)


def test_bad_formats_and_paths_are_named(fit, tmp_path):
    with pytest.raises(ValueError, match="Unknown format 'graphmll'. Did you mean 'graphml'"):
        scdash.get.network(fit, format="graphmll")
    with pytest.raises(ValueError, match="path would have no effect"):
        scdash.get.network(fit, path=tmp_path / "graph")
    with pytest.raises(ValueError, match="min_targets must be"):
        scdash.get.regulons(fit, min_targets=0)
    with pytest.raises(NotFittedError, match="fit_dynamics"):
        scdash.get.network(fit, key="other")


def test_names_that_a_file_cannot_hold_are_refused_before_it_is_written(tmp_path):
    table = pd.DataFrame({"source": ["a\tb"], "target": ["c\x01"], "weight": [1.0]})
    with pytest.raises(ValueError, match="tab or a line break"):
        _formats.write_gmt(_formats.as_regulons(table, 1), tmp_path / "x.gmt", "s")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="control character"):
        _formats.graphml_text(_formats.as_networkx(table))


def test_unusual_names_survive(tmp_path):
    table = pd.DataFrame({"source": ["HLA-A, <b>"], "target": ["ψ & co"], "weight": [-1.0]})
    graph = nx.parse_graphml(_formats.graphml_text(_formats.as_networkx(table)))
    assert list(graph.edges) == [("HLA-A, <b>", "ψ & co")]
    buffer = io.StringIO(table.to_csv(index=False))
    assert pd.read_csv(buffer).equals(table)
