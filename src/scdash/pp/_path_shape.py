"""Is a path of cells one line? Loops and forks are found on the neighbour graph, so that pseudotime is not trusted there.

Thresholds were set on the simulated and real data sets that `tests/pp/test_path_shape.py` lists.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

FEWEST, MOST = 60, 50_000  # cells between which the shape is looked at
STARTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # fractions of the cells that are left out as early
DETOUR_LOOP = 0.75  # arms of a loop bend towards each other; those of a fork at the root do not
DETOUR = 0.24  # of the way to the root: late cells farther apart than this do not lie on one line
CUT_FORK, MIXED_FORK = 0.004, 0.47  # late cells in two groups with hardly an edge between them
CUT_LOOP, MIXED_LOOP, PLACE_LOOP = 0.06, 0.4, 0.65  # two ways that join late
SMALLEST_GROUP = 0.15  # of the late cells
FEWEST_LATE = 20
STRAY = 0.05  # of the late cells: smaller pieces are not looked at
N_SAMPLED = 400  # late cells whose distances are compared
N_COMPONENTS, N_TIME_BINS = 6, 5


@dataclass(frozen=True)
class PathShape:
    """`detour`: how much farther late cells are from each other than on one line, as a fraction of the way to the root."""

    kind: Literal["line", "loop", "fork"]
    detour: float


@dataclass(frozen=True)
class Cut:
    """The best division of the late cells into two groups that both exist at most times."""

    conductance: float  # edges between the groups, divided by all edges of the smaller group
    mixed: float  # 1: at all times half of the cells are in either group; 0: one group follows the other
    place: float  # mean rank in time of the cells at the edges between the groups, 0 to 1; NaN without such edges


def path_shape(
    connectivities: Any, space: NDArray[np.float64], time: NDArray[np.float64], *, seed: int = 0
) -> PathShape:
    """Return whether cells lie on one line, on a loop, or on a path that forks.

    `connectivities`: neighbour graph, (cells, cells). `space`: coordinates whose distances are diffusion pseudotime,
    (cells, k). `time`: pseudotime, 0 at the root, (cells,).
    """
    if not FEWEST <= len(time) <= MOST:
        return PathShape("line", float("nan"))
    detour = late_detour(space, time, seed)
    graph = sp.csr_matrix(connectivities, copy=True)
    graph.setdiag(0)
    graph.eliminate_zeros()
    graph.data[:] = 1.0
    cuts = {start: cut for start in STARTS if (cut := late_cut(graph, time, start)) is not None}
    joins = [
        cut.conductance < CUT_LOOP and cut.mixed >= MIXED_LOOP and cut.place >= PLACE_LOOP
        for start, cut in cuts.items()
        if start <= 0.5
    ]
    parts = [cut.conductance <= CUT_FORK and cut.mixed >= MIXED_FORK for cut in cuts.values()]
    if any(parts):
        return PathShape("fork", detour)
    if detour < DETOUR:
        return PathShape("line", detour)
    return PathShape("loop" if any(joins) and detour <= DETOUR_LOOP else "fork", detour)


def late_detour(space: NDArray[np.float64], time: NDArray[np.float64], seed: int) -> float:
    r"""Return the upper quartile of (d(x, y) - |t(x) - t(y)|) / (2 min t) over pairs of late cells.

    On a line, two cells are as far apart as their times. Where a path forks at time s, they are farther apart by twice
    the way back to the fork, so that the ratio is 1 - s / t if distances add up.
    """
    rng, root = np.random.default_rng(seed), int(np.argmin(time))
    found = 0.0
    for start in (0.2, 0.5):
        late = np.flatnonzero(time >= np.quantile(time, start))
        late = rng.choice(late, min(N_SAMPLED, len(late)), replace=False)
        far = np.sqrt(((space[late] - space[root]) ** 2).sum(1))
        apart = np.sqrt(((space[late][:, None] - space[late][None]) ** 2).sum(2))
        less = np.minimum(far[:, None], far[None])
        ratio = (apart - np.abs(far[:, None] - far[None])) / np.maximum(2 * less, 1e-300)
        found = max(found, float(np.quantile(ratio[np.triu_indices(len(late), 1)], 0.75)))
    return found


def late_cut(graph: sp.csr_matrix, time: NDArray[np.float64], start: float) -> Cut | None:
    """Return the cut of least conductance among cells after the quantile `start` of time, or None without any."""
    late = np.flatnonzero(time >= np.quantile(time, start))
    part = graph[late][:, late]
    _, label = sp.csgraph.connected_components(part, directed=False)
    sizes = np.bincount(label)
    kept = np.isin(label, np.flatnonzero(sizes >= max(5, STRAY * len(late))))
    part, late = part[kept][:, kept], late[kept]
    if len(late) < FEWEST_LATE:
        return None
    rank = np.argsort(np.argsort(time[late], kind="stable")) / len(late)
    degree = np.asarray(part.sum(1)).ravel()
    found = []
    for component in _slow_components(part, degree).T:
        conductance, group = _sweep(part, degree, component)
        mixed = _mixed(rank, group)
        if mixed >= min(MIXED_LOOP, MIXED_FORK):
            between = part[group][:, ~group].tocoo()
            ends = np.concatenate([rank[group][between.row], rank[~group][between.col]])
            found.append(Cut(conductance, mixed, float(ends.mean()) if len(ends) else float("nan")))
    return min(found, key=lambda cut: cut.conductance, default=None)


def _slow_components(graph: sp.csr_matrix, degree: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the slowest components of the random walk on a graph, (cells, components).

    The first is constant where the graph holds together; where it does not, any of them may tell the pieces apart.
    """
    root = 1 / np.sqrt(np.maximum(degree, 1e-12))
    walk = sp.diags(root) @ graph @ sp.diags(root)
    start = np.random.default_rng(0).random(len(degree))
    try:
        _, vectors = sp.linalg.eigsh(walk, k=N_COMPONENTS, which="LA", v0=start, tol=1e-4, maxiter=3000)
    except sp.linalg.ArpackNoConvergence as error:
        vectors = error.eigenvectors
    return np.asarray(vectors * root[:, None])


def _sweep(
    graph: sp.csr_matrix, degree: NDArray[np.float64], component: NDArray[np.float64]
) -> tuple[float, NDArray[np.bool_]]:
    """Return the least conductance of a division along a component, and which cells are on one side of it."""
    order = np.argsort(component, kind="stable")
    sorted_graph = sp.triu(graph[order][:, order], k=1).tocoo()
    n = len(order)
    opened = np.bincount(sorted_graph.row + 1, weights=sorted_graph.data, minlength=n + 1)
    closed = np.bincount(sorted_graph.col + 1, weights=sorted_graph.data, minlength=n + 1)
    between = np.cumsum(opened - closed)  # edges from the first i cells to the others
    volume = np.concatenate([[0.0], np.cumsum(degree[order])])
    conductance = between / np.maximum(np.minimum(volume, volume[-1] - volume), 1e-12)
    first = int(SMALLEST_GROUP * n) + 1
    at = first + int(np.argmin(conductance[first : n - first + 1]))
    group = np.zeros(n, dtype=bool)
    group[order[:at]] = True
    return float(max(conductance[at], 0.0)), group


def _mixed(rank: NDArray[np.float64], group: NDArray[np.bool_]) -> float:
    """Return how evenly two groups share each window of time, 0 to 1."""
    window = np.minimum((rank * N_TIME_BINS).astype(int), N_TIME_BINS - 1)
    share = np.array([group[window == i].mean() for i in range(N_TIME_BINS)])
    return float(np.minimum(share, 1 - share).mean() * 2)


def shape_warning(shape: PathShape, group: str, key_added: str) -> str:
    """Return what to tell the user of a shape that is no line; the empty string for a line."""
    remedy = (
        "Label the lineages in a column of adata.obs and pass it as lineage_key to scdash.pp.order_cells and as "
        "trajectory_key to scdash.tl.fit_dynamics; or put weights of cells in lineages (those of slingshot, branch masks of "
        "Palantir, fate probabilities of CellRank) into adata.obsm and pass its name as trajectory_key, so that progenitors "
        "belong to all of their lineages."
    )
    if shape.kind == "loop":
        return (
            f"The cells of {group!r} lie on a loop (a cycle, such as the cell cycle): there are two ways round from the root "
            f"to the same late cells. adata.obs[{key_added!r}] folds the two ways into one. Order such cells by a method "
            f"for cycles and pass the result as time_key, leave the genes of the cycle out, or cut the loop. {remedy} "
            "If the two ways do not meet again at their ends, the path forks."
        )
    if shape.kind == "fork":
        return (
            f"The late cells of {group!r} fall into groups that are far apart: the path forks. adata.obs[{key_added!r}] "
            f"orders all branches as one line, and a model of it describes none of them. {remedy} If the groups are "
            "batches, pass batch_key. If two groups meet again at their ends, the path is a loop (a cycle)."
        )
    return ""
