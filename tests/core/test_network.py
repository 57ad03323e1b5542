"""A row regulates a column: one value reads either orientation, and no other line turns a network round."""

import ast
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from scdash._core.network import Network

SOURCE = Path(__file__).parents[2] / "src" / "scdash"
WRAPS = ("csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "csc_array", "coo_array")
TURNS = {"tocsr", "tocsc", "tocoo", "astype"}
#: Files that may turn a sparse matrix round, and why.
ALLOWED = {
    "networks/motifs.py": "edges of a graph in the other direction",
    "networks/statistics.py": "what lies upstream in a graph",
    "regression/penalty_choice.py": "coefficients (features, targets) of a solver as effects (target, regulator)",
    "regression/stability_selection.py": "coefficients (features, targets) of a solver as effects (target, regulator)",
    "paired/linear_fit.py": "weights of a layer (out, in), which are no network of genes",
}


def edges(seed: int, genes: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(genes, genes)) * (rng.random((genes, genes)) < 0.3)


@given(seed=st.integers(0, 1000), genes=st.integers(1, 8))
def test_both_readings_are_one_network(seed: int, genes: int) -> None:
    matrix = edges(seed, genes)
    network = Network.from_outgoing(matrix)
    np.testing.assert_array_equal(network.outgoing.toarray(), matrix)
    np.testing.assert_array_equal(network.incoming.toarray(), matrix.T)
    again = Network.from_incoming(network.incoming)
    np.testing.assert_array_equal(again.outgoing.toarray(), matrix)
    assert network.outgoing.has_sorted_indices and network.incoming.has_sorted_indices


@given(seed=st.integers(0, 1000))
def test_some_regulators_and_a_network_among_more_genes(seed: int) -> None:
    matrix, sources, places = edges(seed, 6), np.array([4, 1]), np.array([7, 0, 3, 5, 9, 2])
    whole = np.zeros((6, 6))
    whole[sources] = matrix[:2]
    network = Network.from_outgoing(sp.csr_matrix(matrix[:2]), sources)
    np.testing.assert_array_equal(network.outgoing.toarray(), whole)
    np.fill_diagonal(whole, 0)
    among = np.zeros((10, 10), np.float32)
    among[np.ix_(places, places)] = whole
    found = network.without_self().among(places, 10).outgoing
    np.testing.assert_array_equal(found.toarray(), among)
    assert found.dtype == np.float32 and (found.data != 0).all()


def is_turned(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("T", "mT")


def turned_networks(text: str) -> list[int]:
    """Return the lines that make a sparse matrix of a transposed one, or transpose what comes out of a tensor."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            wrapped = name in WRAPS and any(is_turned(part) for one in node.args[:1] for part in ast.walk(one))
            turned = isinstance(function, ast.Attribute) and name in TURNS and is_turned(function.value)
            if wrapped or turned:
                found.append(node.lineno)
    return sorted(set(found))


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_only_one_file_turns_networks_round(path: Path) -> None:
    name = str(path.relative_to(SOURCE))
    assert bool(turned_networks(path.read_text())) == (name in ALLOWED)


@pytest.mark.parametrize(
    "line",
    [
        "prior.signs.T.tocsr()",
        "sp.csr_matrix(found[0].numpy().T).astype(float)",
        "sparse.csr_matrix(weights.T, dtype=np.float32)",
        "found[:, sources].toarray().T.astype(float)",
        "sp.csr_matrix(equations.weights.T.astype(np.float32))",
        "trained.field.network(params)[0].numpy().T.astype(float)",
    ],
)
def test_the_check_finds_the_lines_that_were_there(line: str) -> None:
    assert turned_networks(line) == [1]
