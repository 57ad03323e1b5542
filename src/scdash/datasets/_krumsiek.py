"""Myeloid differentiation by the Boolean network of Krumsiek et al. 2011, made continuous and noisy."""

import ast
from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from scdash._core.process_state import guarded
from scdash._core.random_streams import RNG, as_generator
from scdash._data import SPLITS, default_split, sanitise

# Krumsiek et al. 2011, Table 1, as in scanpy's bundled model file (a test compares the two).
RULES = {
    "Gata2": "Gata2 and not (Gata1 and Fog1) and not PU1",
    "Gata1": "(Gata1 or Gata2 or Fli1) and not PU1",
    "Fog1": "Gata1",
    "EKLF": "Gata1 and not Fli1",
    "Fli1": "Gata1 and not EKLF",
    "SCL": "Gata1 and not PU1",
    "Cebpa": "Cebpa and not (Gata1 and Fog1 and SCL)",
    "PU1": "(Cebpa or PU1) and not (Gata1 or Gata2)",
    "cJun": "PU1 and not Gfi1",
    "EgrNab": "(PU1 and cJun) and not Gfi1",
    "Gfi1": "Cebpa and not EgrNab",
}
GENES = tuple("Pu.1" if gene == "PU1" else gene for gene in RULES)  # scanpy's names
# Strengths of scanpy's model where they are not 1; an edge is half active at 0.1 / strength.
_STRENGTH = {
    ("Gata1", "Gata2"): 0.1,
    ("PU1", "Gata2"): 1.15,
    ("Gata1", "Gata1"): 0.1,
    ("PU1", "Gata1"): 1.21,
    ("Gata1", "Fog1"): 0.1,
    ("Gata1", "EKLF"): 0.2,
    ("Gata1", "Fli1"): 0.2,
    ("Cebpa", "Cebpa"): 10.0,
    ("Cebpa", "PU1"): 10.0,
    ("PU1", "PU1"): 10.0,
    ("Gfi1", "EgrNab"): 1.3,
    ("EgrNab", "Gfi1"): 5.0,
}
_START = ("Gata2", "Cebpa", "PU1")  # expressed in the common myeloid progenitor
# Two switches decide: Gata1 against Pu.1, then EKLF against Fli1 and EgrNab against Gfi1.
_FATES = {"Ery": ("Gata1", "EKLF", "Fli1"), "Mk": ("Gata1", "Fli1", "EKLF")} | {
    "Mo": ("PU1", "EgrNab", "Gfi1"),
    "Neu": ("PU1", "Gfi1", "EgrNab"),
}

Cube = tuple[list[int], NDArray[np.float64], NDArray[np.float64]]


@guarded
def krumsiek11(
    n_trajectories: int = 40,
    *,
    times: Sequence[float] = tuple(np.arange(0.0, 16.5, 0.5)),
    noise: float = 0.02,
    observation_noise: float = 0.0,
    rng: RNG = 0,
) -> AnnData:
    r"""Simulate 11 factors of myeloid differentiation from progenitor to four fates, with the published network as truth.

    The Boolean rules, interpolated as multilinear polynomials B of Hill functions (HillCubes, Wittmann et al. 2009),
    with the edge strengths s of the model that scanpy bundles, integrated with noise (Euler-Maruyama, step 0.02):
    :math:`dx_i = (B_i(h(x)) - x_i)\, dt + \sigma\, dW`, :math:`h_{ij}(x_j) = x_j^2 / (x_j^2 + (0.1 / s_{ij})^2)`,
    from Gata2, C/EBP alpha and Pu.1 at 0.8. The fate is left to the noise.

    Parameters
    ----------
    n_trajectories
        Trajectories.
    times
        Times observed; genes relax at rate 1, fates are reached by about 16.
    noise
        Dynamical noise sigma. At the 0.007 of scanpy's data seven in ten become monocytes and few neutrophils.
    observation_noise
        Standard deviation of noise added to the values observed.
    rng
        Seed or Generator.

    Returns
    -------
    AnnData
        AnnData, (trajectories x times, 11):
    `.X` : float32
        expression, 0 to 1 up to noise
    `.layers["clean"]` : without observation noise
    `.obs` : DataFrame
        `time`, `trajectory`, `branch` (fate reached: Ery, Mk, Mo, Neu, or "none"), `split`
    `.uns["truth"]` : DataFrame
        `source`, `target`, `weight`; 30 signed edges, 4 of them from a gene to itself

    See Also
    --------
    scdash.simulate.grn_dynamics : Simulate trajectories of a random gene-regulatory system whose network is known.

    Examples
    --------
    >>> import scdash
    >>> adata = scdash.datasets.krumsiek11(4)
    >>> adata.shape
    (132, 11)
    """
    rng = as_generator(rng)
    grid = np.asarray(times, dtype=np.float64)
    if len(grid) < 2 or np.any(np.diff(grid) <= 0):
        raise ValueError(f"times must be at least two and increase, found {grid.tolist()}.")
    start = np.tile([0.8 if gene in _START else 0.0 for gene in RULES], (n_trajectories, 1))
    states = integrate(start, grid, noise, rng)
    clean = states.reshape(-1, len(RULES)).astype(np.float32)
    names = np.array([f"t{i:0{len(str(n_trajectories - 1))}d}" for i in range(n_trajectories)])
    code = np.repeat(np.arange(n_trajectories), len(grid))
    obs = pd.DataFrame(
        {
            "time": np.tile(grid, n_trajectories),
            "trajectory": pd.Categorical(names[code]),
            "branch": pd.Categorical(np.array(_fates(states[:, -1]))[code]),
            "split": pd.Categorical.from_codes(default_split(code, rng=rng), pd.Index(SPLITS)),
        },
        index=pd.Index([f"{name}_{k}" for name in names for k in range(len(grid))]),
    )
    noisy = clean + np.float32(observation_noise) * rng.standard_normal(clean.shape, dtype=np.float32)
    adata = AnnData(noisy, obs=obs, var=pd.DataFrame(index=pd.Index(GENES)), layers={"clean": clean})
    adata.uns["truth"] = truth()
    adata.uns["simulation"] = sanitise({"noise": noise, "observation_noise": observation_noise})
    return adata


def truth() -> pd.DataFrame:
    """Return the signed edges of the rules: +1 where a gene occurs plainly, -1 where it occurs negated."""
    edges = []
    for rule, target in zip(RULES.values(), GENES, strict=True):
        signs = _signs(ast.parse(rule, mode="eval").body, 1)
        for source, sign in signs.items():
            edges.append((GENES[list(RULES).index(source)], target, float(sign)))
    return pd.DataFrame(edges, columns=["source", "target", "weight"])


def _signs(node: ast.expr, sign: int) -> dict[str, int]:
    if isinstance(node, ast.Name):
        return {node.id: sign}
    if isinstance(node, ast.UnaryOp):
        return _signs(node.operand, -sign)
    assert isinstance(node, ast.BoolOp)
    found: dict[str, int] = {}
    for value in node.values:
        found |= _signs(value, sign)
    return found


def integrate(
    start: NDArray[np.float64], times: NDArray[np.float64], noise: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return states (trajectories, times, genes)."""
    cubes = [_cube(gene) for gene in RULES]
    x, states = start, [start]
    for first, second in zip(times[:-1], times[1:], strict=True):
        steps = max(1, int(np.ceil((second - first) / 0.02 - 1e-9)))
        h = (second - first) / steps
        for _ in range(steps):
            x = x + h * (_production(x, cubes) - x) + noise * np.sqrt(h) * rng.standard_normal(x.shape)
        states.append(x)
    return np.stack(states, axis=1)


def _cube(target: str) -> Cube:
    """Return the genes of a rule, its truth table (2,) * genes, and the half-activation of each."""
    rule = RULES[target]
    tree = ast.parse(rule, mode="eval").body
    genes = list(dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)))
    table = np.zeros((2,) * len(genes))
    for corner in np.ndindex(*table.shape):
        table[corner] = float(_holds(tree, {gene: bool(bit) for gene, bit in zip(genes, corner, strict=True)}))
    half = np.array([0.1 / _STRENGTH.get((gene, target), 1.0) for gene in genes])
    return [list(RULES).index(gene) for gene in genes], table, half


def _holds(node: ast.expr, values: dict[str, bool]) -> bool:
    """Return whether a Boolean rule holds: names, `not`, `and`, `or`."""
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.UnaryOp):
        return not _holds(node.operand, values)
    assert isinstance(node, ast.BoolOp)
    combine = all if isinstance(node.op, ast.And) else any
    return combine(_holds(part, values) for part in node.values)


def _production(x: NDArray[np.float64], cubes: list[Cube]) -> NDArray[np.float64]:
    """Return the interpolated rules, (batch, genes): multilinear in h(x)."""
    out = np.empty_like(x)
    for i, (genes, table, half) in enumerate(cubes):
        value = np.broadcast_to(table, (len(x), *table.shape))
        for gene, k in zip(genes, half, strict=True):  # take the first remaining axis: (1 - h) f(0) + h f(1)
            h = (x[:, gene] ** 2 / (x[:, gene] ** 2 + k**2)).reshape(-1, *[1] * (value.ndim - 2))
            value = (1 - h) * value[:, 0] + h * value[:, 1]
        out[:, i] = value
    return out


def _fates(last: NDArray[np.float64]) -> list[str]:
    """Return the fate of each final state: which side of both switches is on, by at least 0.3; else "none"."""
    level = dict(zip(RULES, last.T, strict=True))
    fate = np.full(len(last), "none", dtype=object)
    for name, (lineage, winner, loser) in _FATES.items():
        fate[(level[lineage] > 0.5) & (level[winner] > level[loser] + 0.3)] = name
    return [*fate]
