"""How far the networks of several seeds agree, which differ in nothing but how cells are resampled, dealt and trained on."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp


def agreement(networks: Sequence[sp.csr_matrix]) -> dict[str, float]:
    """Return means over all pairs of networks: edges that both have over those that either has, and the correlation of effects.

    >>> one, two = sp.csr_matrix([[0.0, 1.0], [1.0, 0.0]]), sp.csr_matrix([[0.0, 1.0], [0.0, 0.0]])
    >>> agreement([one, two])["edges_in_both"]
    0.5
    """
    dense = [network.toarray().ravel() for network in networks]
    pairs = list(combinations(dense, 2))
    both = [int(((a != 0) & (b != 0)).sum()) / max(int(((a != 0) | (b != 0)).sum()), 1) for a, b in pairs]
    return {
        "edges_in_both": float(np.mean(both)),
        "correlation": float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs])),
    }


def keep_agreement(path: Path, name: str, networks: Sequence[sp.csr_matrix], order: Sequence[str]) -> None:
    """Write the row of a set among those of the others, in the place of an earlier one."""
    row = pd.DataFrame([{"set": name, "seeds": len(networks)} | agreement(networks)])
    if path.exists():
        row = pd.concat([pd.read_csv(path), row]).drop_duplicates("set", keep="last")
    row = row.sort_values("set", key=lambda column: column.map(list(order).index))
    row.to_csv(path, index=False, float_format="%.3g")
