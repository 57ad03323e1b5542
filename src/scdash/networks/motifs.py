"""Signed motifs of a network against networks with the same degrees (row regulates column)."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.random_streams import RNG, as_generator
from scdash.networks.statistics import as_network

SIGNS = {"+": 1, "-": -1}
SWAPS = 10  # swaps tried per edge
TOGETHER = 1_000_000  # paths of two edges, in random networks whose motifs are counted together


def count_motifs(matrix: Any) -> dict[str, int]:
    """Return how often each signed motif occurs among different genes.

    - "self +", "self -": a gene acts on itself.
    - "pair ++", "pair +-", "pair --": two genes act on each other.
    - "loop +", "loop -": three genes in a circle, by the product of the three signs.
    - "feed-forward xyz": X acts on Y by sign x, Y on Z by y, X on Z by z. Coherent (z = x y) of types 1 to 4,
      incoherent of types 1 to 4, as numbered by Mangan and Alon (2003).
    """
    counts = _counted(as_network(matrix), 1)
    return {name: int(number) for name, (number,) in counts.items()}


def _counted(network: sp.csr_array, graphs: int) -> dict[str, NDArray[np.int64]]:
    """Return the counts, (graphs,) each, of equally large networks that stand along the diagonal of one matrix."""

    def each(matrix: sp.csr_array) -> NDArray[np.int64]:
        rows = np.add.reduceat(np.append(matrix.data, 0.0), matrix.indptr[:-1])
        rows[np.diff(matrix.indptr) == 0] = 0  # where reduceat gives the entry that follows
        return np.asarray(rows.reshape(graphs, -1).sum(axis=1).round(), dtype=np.int64)

    diagonal = network.diagonal().reshape(graphs, -1)
    counts = {"self +": (diagonal > 0).sum(axis=1), "self -": (diagonal < 0).sum(axis=1)}
    parts = _signed(network)
    back = {sign: sp.csr_array(part.T) for sign, part in parts.items()}
    plus, minus = parts["+"], parts["-"]
    counts["pair ++"] = each(plus.multiply(back["+"])) // 2
    counts["pair +-"] = each(plus.multiply(back["-"]))
    counts["pair --"] = each(minus.multiply(back["-"])) // 2
    loops = {sign: np.zeros(graphs, np.int64) for sign in SIGNS}
    forward = {}
    for a, b in product(SIGNS, SIGNS):
        two = parts[a] @ parts[b]
        for c in SIGNS:
            around = next(sign for sign, value in SIGNS.items() if value == SIGNS[a] * SIGNS[b] * SIGNS[c])
            loops[around] += each(two.multiply(back[c]))
            forward[_feed_forward(a + b, c)] = each(two.multiply(parts[c]))
    counts |= {f"loop {sign}": number // 3 for sign, number in loops.items()}  # found from each of its genes
    return counts | forward


def _feed_forward(xy: str, z: str) -> str:
    coherent = {"+++": 1, "-+-": 2, "+--": 3, "--+": 4}  # X->Y, Y->Z, X->Z
    incoherent = {"+-+": 1, "---": 2, "++-": 3, "-++": 4}
    signs = xy + z
    kind = f"coherent {coherent[signs]}" if signs in coherent else f"incoherent {incoherent[signs]}"
    return f"feed-forward {kind} ({xy[0]}{xy[1]}{z})"


def _signed(network: sp.csr_array) -> dict[str, sp.csr_array]:
    entries = sp.coo_array(network)
    row, column = entries.coords
    found = {}
    for name, sign in SIGNS.items():
        chosen = (np.sign(entries.data) == sign) & (row != column)
        ones = np.ones(int(chosen.sum()))
        found[name] = sp.csr_array((ones, (row[chosen], column[chosen])), shape=network.shape)
    return found


def rewired(matrix: Any, rng: RNG = None) -> sp.csr_array:
    """Return a network with the same in-degree, out-degree and signs out of and into every gene, else random.

    Two edges of one sign swap their targets unless that makes an edge double or from a gene to itself; self edges stay.
    """
    return _Rewiring(as_network(matrix)).draw(as_generator(rng))


class _Rewiring:
    """Draws rewired versions of one network; whether a gene has an edge to another is looked up in a table."""

    def __init__(self, network: sp.csr_array) -> None:
        entries = sp.coo_array(network)
        self.source, self.target = (np.array(part, dtype=np.int64) for part in entries.coords)
        self.values, self.shape = entries.data, entries.shape
        others = self.source != self.target
        self.free = [np.flatnonzero((np.sign(self.values) == sign) & others) for sign in SIGNS.values()]
        regulators, row = np.unique(self.source, return_inverse=True)
        self.names, self.column = np.unique(self.target, return_inverse=True)
        self.first = row * len(self.names)  # where the row of every edge's regulator begins in the table
        self.taken = np.zeros(len(regulators) * len(self.names), dtype=bool)
        _, place, itself = np.intersect1d(regulators, self.names, return_indices=True)
        self.taken[place * len(self.names) + itself] = True  # never drawn: an edge from a gene to itself

    def draw(self, generator: np.random.Generator) -> sp.csr_array:
        column, taken = self.column.copy(), self.taken.copy()
        taken[self.first + column] = True
        for free in self.free:
            for _ in range(SWAPS if len(free) > 1 else 0):
                order = generator.permutation(free)
                half = len(order) // 2
                self._swap(column, taken, order[:half], order[half : 2 * half])
        return sp.csr_array((self.values, (self.source, self.names[column])), shape=self.shape)

    def _swap(
        self, column: NDArray[np.int64], taken: NDArray[np.bool_], one: NDArray[np.int64], other: NDArray[np.int64]
    ) -> None:
        """Swap the targets of the edges `one` with those of `other` wherever the result stays a simple network."""
        row, place = self.first[one], self.first[other]
        here, there = column[one], column[other]
        new, old = np.stack([row + there, place + here]), np.stack([row + here, place + there])
        allowed = ~taken[new].any(axis=0)
        proposed = np.sort(new, axis=None)
        twice = proposed[1:][proposed[1:] == proposed[:-1]]
        if len(twice):
            allowed &= ~np.isin(new, twice).any(axis=0)
        column[one[allowed]], column[other[allowed]] = there[allowed], here[allowed]
        taken[old[:, allowed]], taken[new[:, allowed]] = False, True


def motif_table(matrix: Any, *, n_random: int = 100, rng: RNG = 0) -> pd.DataFrame:
    """Return counts of signed motifs beside those of `n_random` rewired networks with the same degrees and signs.

    The result is a DataFrame with columns motif, count, expected, sd, z and p_value = (1 + #{random at least as far
    from the mean}) / (n_random + 1); self edges have neither, since rewiring keeps them.
    """
    if n_random < 1:
        raise ValueError(f"n_random must be at least 1, found {n_random}.")
    generator = as_generator(rng)
    observed = count_motifs(matrix)
    random = pd.concat(_of_random(as_network(matrix), n_random, generator), ignore_index=True)
    count, mean, sd = pd.Series(observed, dtype=float), random.mean(), random.std(ddof=0)
    further = ((random - mean).abs() >= (count - mean).abs() - 1e-9).sum()
    table = pd.DataFrame({"count": count.astype(int), "expected": mean, "sd": sd})
    table["z"] = ((count - mean) / sd.where(sd > 0)).fillna(0.0)
    table["p_value"] = (1 + further) / (n_random + 1)
    kept = table.index.str.startswith("self")
    table.loc[kept, ["expected", "sd", "z", "p_value"]] = np.nan
    return table.rename_axis("motif").reset_index()


def _of_random(network: sp.csr_array, number: int, generator: np.random.Generator) -> Iterator[pd.DataFrame]:
    """Yield the counts of rewired networks, many of them in one matrix: small sparse products cost as much to call."""
    rewiring = _Rewiring(network)
    paths = int(np.bincount(network.indices, minlength=network.shape[0]) @ np.diff(network.indptr))  # of two edges
    at_once = max(1, TOGETHER // max(paths, network.nnz, network.shape[0]))
    for first in range(0, number, at_once):
        drawn = [rewiring.draw(generator) for _ in range(min(at_once, number - first))]
        yield pd.DataFrame(_counted(sp.csr_array(sp.block_diag(drawn, format="csr")), len(drawn)))
