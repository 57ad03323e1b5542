"""Signed motifs of a network against networks with the same degrees (row regulates column)."""

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._random import RNG, as_generator
from scdash.networks._statistics import as_network

SIGNS = {"+": 1, "-": -1}
SWAPS = 10  # swaps tried per edge


def count_motifs(matrix: Any) -> dict[str, int]:
    """Return how often each signed motif occurs among different genes.

    - "self +", "self -": a gene acts on itself.
    - "pair ++", "pair +-", "pair --": two genes act on each other.
    - "loop +", "loop -": three genes in a circle, by the product of the three signs.
    - "feed-forward xyz": X acts on Y by sign x, Y on Z by y, X on Z by z. Coherent (z = x y) of types 1 to 4,
      incoherent of types 1 to 4, as numbered by Mangan and Alon (2003).
    """
    network = as_network(matrix)
    diagonal = network.diagonal()
    counts = {"self +": int((diagonal > 0).sum()), "self -": int((diagonal < 0).sum())}
    parts = _signed(network)
    plus, minus = parts["+"], parts["-"]
    counts["pair ++"] = int(plus.multiply(plus.T).sum()) // 2
    counts["pair +-"] = int(plus.multiply(minus.T).sum())
    counts["pair --"] = int(minus.multiply(minus.T).sum()) // 2
    two = {a + b: parts[a] @ parts[b] for a in SIGNS for b in SIGNS}
    for product in SIGNS:
        around = sum(
            int(path.multiply(parts[c].T).sum())
            for name, path in two.items()
            for c in SIGNS
            if SIGNS[name[0]] * SIGNS[name[1]] * SIGNS[c] == SIGNS[product]
        )
        counts[f"loop {product}"] = around // 3  # each circle is found from each of its genes
    for name, path in two.items():
        for c in SIGNS:
            counts[_feed_forward(name, c)] = int(path.multiply(parts[c]).sum())
    return counts


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
    generator = as_generator(rng)
    entries = sp.coo_array(as_network(matrix))
    source, target = (np.array(part, dtype=np.int64) for part in entries.coords)
    n = entries.shape[0]
    for sign in SIGNS.values():
        free = np.flatnonzero((np.sign(entries.data) == sign) & (source != target))
        for _ in range(SWAPS if len(free) > 1 else 0):
            order = generator.permutation(free)
            half = len(order) // 2
            _swap(source, target, order[:half], order[half : 2 * half], n)
    return sp.csr_array((entries.data, (source, target)), shape=entries.shape)


def _swap(
    source: NDArray[np.int64], target: NDArray[np.int64], one: NDArray[np.int64], other: NDArray[np.int64], n: int
) -> None:
    """Swap the targets of the edges `one` with those of `other` wherever the result stays a simple network."""
    first, second = source[one] * n + target[other], source[other] * n + target[one]
    allowed = (source[one] != target[other]) & (source[other] != target[one])
    allowed &= ~np.isin(first, source * n + target) & ~np.isin(second, source * n + target)
    proposed = np.concatenate([first, second])
    _, where, times = np.unique(proposed, return_inverse=True, return_counts=True)
    single = (times == 1)[where]
    allowed &= single[: len(first)] & single[len(first) :]
    a, b = one[allowed], other[allowed]
    target[a], target[b] = target[b], target[a].copy()


def motif_table(matrix: Any, *, n_random: int = 100, rng: RNG = 0) -> pd.DataFrame:
    """Return counts of signed motifs beside those of `n_random` rewired networks with the same degrees and signs.

    Returns
    -------
    DataFrame with columns motif, count, expected, sd, z and p_value = (1 + #{random at least as far from the mean})
    / (n_random + 1); self edges have neither, since rewiring keeps them.
    """
    if n_random < 1:
        raise ValueError(f"n_random must be at least 1, found {n_random}.")
    generator = as_generator(rng)
    observed = count_motifs(matrix)
    random = pd.DataFrame([count_motifs(rewired(matrix, generator)) for _ in range(n_random)])
    count, mean, sd = pd.Series(observed, dtype=float), random.mean(), random.std(ddof=0)
    further = ((random - mean).abs() >= (count - mean).abs() - 1e-9).sum()
    table = pd.DataFrame({"count": count.astype(int), "expected": mean, "sd": sd})
    table["z"] = ((count - mean) / sd.where(sd > 0)).fillna(0.0)
    table["p_value"] = (1 + further) / (n_random + 1)
    kept = table.index.str.startswith("self")
    table.loc[kept, ["expected", "sd", "z", "p_value"]] = np.nan
    return table.rename_axis("motif").reset_index()
