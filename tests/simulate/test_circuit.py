"""Gene circuits: the published Hill function, Boolean logic at the corners, closed forms, order, and SIM350 itself."""

import ast

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from scdash.simulate import Circuit, hill
from scdash.simulate._circuit import Level


@given(st.floats(0, 1), st.floats(0.4, 0.6), st.floats(1.01, 1.8))
def test_hill_is_the_published_formula(x, ec50, n):
    half = ec50**n
    if abs(half - 0.5) > 1e-3:  # B has a pole there, the activation has not
        B = (half - 1) / (2 * half - 1)
        np.testing.assert_allclose(hill(np.array(x), ec50, n), B * x**n / (B - 1 + x**n), rtol=1e-9, atol=1e-12)
    assert hill(np.array(0.0), ec50, n) == 0
    assert hill(np.array(1.0), ec50, n) == pytest.approx(1)
    assert hill(np.array(ec50), ec50, n) == pytest.approx(0.5)


def test_hill_has_no_pole():
    n = np.log(0.5) / np.log(0.6)  # E^n = 1/2, where B is infinite: f(x) = x^n
    np.testing.assert_allclose(hill(np.array([0.1, 0.7]), 0.6, n), np.array([0.1, 0.7]) ** n, rtol=1e-9)


def circuit(levels, sign, n_genes=5, regulated=(4,)):
    edges = len(sign)
    return Circuit(
        n_genes,
        np.arange(edges),
        np.full(edges, 4),
        np.array(sign),
        np.full(edges, 0.5),
        np.full(edges, 1.3),
        [Level(np.array(starts), np.array(any_of)) for starts, any_of in levels],
        np.array(regulated),
    )


def test_logic_at_boolean_states():
    """(x0 and x1) or (not x2 or not x3): activators all needed, any repressor's absence enough, joined by OR."""
    gene = circuit([([0, 2], [False, True]), ([0], [True])], [1, 1, -1, -1])
    for bits in np.ndindex(2, 2, 2, 2):
        state = np.array([[*bits, 0]], dtype=float)
        wanted = (bits[0] and bits[1]) or (not bits[2] or not bits[3])
        assert gene.production(state)[0, 0] == pytest.approx(float(wanted), abs=1e-12)


def test_logic_between_boolean_states_is_products_and_probabilistic_sums():
    x = np.random.default_rng(0).random((7, 5))
    f = hill(x, 0.5, 1.3)
    both = circuit([([0, 2], [False, True]), ([0], [False])], [1, 1, -1, -1])
    any_missing = 1 - f[:, 2] * f[:, 3]
    np.testing.assert_allclose(both.production(x)[:, 0], f[:, 0] * f[:, 1] * any_missing, rtol=1e-12)
    either = circuit([([0, 2], [False, True]), ([0], [True])], [1, 1, -1, -1])
    a, b = f[:, 0] * f[:, 1], any_missing
    np.testing.assert_allclose(either.production(x)[:, 0], a + b - a * b, rtol=1e-12)


def test_constant_inputs_give_exponential_relaxation():
    gene = circuit([([0], [False])], [1])
    start = np.random.default_rng(1).random((6, 5))
    states = gene.simulate(start, [0, 0.7, 3.0])
    target = hill(start[:, 0], 0.5, 1.3)
    for k, t in enumerate([0, 0.7, 3.0]):
        np.testing.assert_array_equal(states[:, k, :4], start[:, :4])  # no regulators: held constant
        np.testing.assert_allclose(states[:, k, 4], target + (start[:, 4] - target) * np.exp(-t), atol=1e-7)
    np.testing.assert_array_equal(gene.inputs, [True, True, True, True, False])


def cascade():
    """0 -> 1 -> 2 -| 1 with a loop, genes 3 and 4 without regulators."""
    return Circuit(
        5,
        np.array([0, 2, 1]),
        np.array([1, 1, 2]),
        np.array([1, -1, 1]),
        np.array([0.4, 0.5, 0.6]),
        np.array([1.2, 1.5, 1.6]),
        [Level(np.array([0, 1, 2]), np.zeros(3, bool)), Level(np.array([0, 2]), np.array([False, False]))],
        np.array([1, 2]),
    )


def test_the_integrator_is_of_fourth_order_and_agrees_with_scipy():
    gene, start = cascade(), np.random.default_rng(2).uniform(0.3, 0.9, (1, 5))
    exact = solve_ivp(lambda t, y: gene.derivative(y[None])[0], (0, 4), start[0], rtol=1e-12, atol=1e-13).y[:, -1]
    steps = np.array([0.5, 0.25, 0.125])
    error = [np.abs(gene.simulate(start, [0, 4], step=h)[0, -1] - exact).max() for h in steps]
    slope = np.polyfit(np.log(steps), np.log(error), 1)[0]
    assert slope == pytest.approx(4, abs=0.3)
    assert np.abs(gene.simulate(start, [0, 4])[0, -1] - exact).max() < 1e-6


@given(st.integers(0, 1000))
def test_states_stay_between_zero_and_one(seed):
    states = cascade().simulate(np.random.default_rng(seed).choice([0.0, 0.5, 1.0], (8, 5)), [0, 1, 9], step=0.5)
    assert states.min() >= 0 and states.max() <= 1


def test_single_precision_stays_single():
    states = cascade().simulate(np.full((2, 5), 0.5, np.float32), [0, 1])
    assert states.dtype == np.float32


# --- SIM350: equations of the released file, read into a circuit and integrated -------------------------------------


def _tree(node):
    """Read an equation: a * b is AND, (a + b) - a * b is OR, 1 - f is NOT; constants of 1 are decoration."""
    if isinstance(node, ast.Call):
        return ("leaf", node.args[0].id, 1, node.args[1].value, node.args[2].value)
    if isinstance(node.op, ast.Mult):
        if isinstance(node.left, ast.Constant):
            return _tree(node.right)
        if isinstance(node.right, ast.Constant):
            return _tree(node.left)
        return _flat("and", [_tree(node.left), _tree(node.right)])
    if isinstance(node.left, ast.Constant):
        kind, name, _, ec50, n = _tree(node.right)
        return (kind, name, -1, ec50, n)
    return _flat("or", [_tree(node.left.left), _tree(node.left.right)])


def _flat(kind, parts):
    return (kind, [leaf for part in parts for leaf in (part[1] if part[0] == kind else [part])])


def _groups(tree):
    """Groups of leaves under one join: [(is OR, leaves)], is OR."""
    if tree[0] == "leaf":
        return [(False, [tree])], False
    loose = [part for part in tree[1] if part[0] == "leaf"]
    groups = [(tree[0] == "or", loose)] if loose else []
    groups += [(part[0] == "or", part[1]) for part in tree[1] if part[0] != "leaf"]
    return groups, tree[0] == "or"


def read_sim350(folder):
    genes = pd.read_csv(folder / "gene_names.csv")["gene"].tolist()
    equations = pd.read_csv(folder / "ode_system_functions.csv").set_index("node")["eqn"]
    leaves, starts, any_of, join, join_any, regulated = [], [], [], [], [], []
    for target in genes:
        if equations[target] == "input gene":
            continue
        body = ast.parse(equations[target], mode="eval").body  # (P * 1 - 1 * x) / 1
        groups, joined_by_or = _groups(_tree(body.left.left))
        join.append(len(starts))
        join_any.append(joined_by_or)
        regulated.append(genes.index(target))
        for is_or, members in groups:
            assert all(leaf[0] == "leaf" for leaf in members)
            starts.append(len(leaves))
            any_of.append(is_or)
            leaves += [(genes.index(name), genes.index(target), sign, ec50, n) for _, name, sign, ec50, n in members]
    columns = [np.array(column) for column in zip(*leaves, strict=True)]
    levels = [Level(np.array(starts), np.array(any_of)), Level(np.array(join), np.array(join_any))]
    return Circuit(len(genes), *columns, levels, np.array(regulated)), genes


@pytest.mark.reference
def test_sim350s_equations_reproduce_its_test_trajectories(reference):
    system, genes = read_sim350(reference / "sim350")
    stored = np.load(reference / "sim350" / "trajectories.npz")
    assert list(stored["genes"]) == genes
    np.testing.assert_array_equal(system.inputs, stored["is_input"].astype(bool))
    edges = pd.read_csv(reference / "sim350" / "edges.csv", keep_default_na=False)
    ours = {(genes[r], genes[t]): s for r, t, s in zip(system.regulator, system.target, system.sign, strict=True)}
    assert ours == {(r, t): s for r, t, s in zip(edges["from"], edges["to"], edges["sign"], strict=True)}
    times = stored["times"].tolist()
    states = system.simulate(stored["x_test"][:, 0], times, step=0.05)
    assert np.abs(states - stored["x_test"]).max() < 1.4e-6  # the README's tight solver left 1.3e-6
    start = stored["x_train"][:20, 0].astype(float)
    assert np.abs(system.simulate(start, times, step=0.05) - stored["x_train"][:20]).max() < 1e-6
    coarse = system.simulate(stored["x_test"][:, 0], times)
    assert np.abs(coarse - states).max() < 1e-5  # the default step, far below any noise level
