"""Velocities in gene space, shown on an embedding: pure NumPy."""

import hashlib
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from scdash._core.process_state import guarded

Array = NDArray[np.float64]
_BLOCK = 2e6  # entries of a (cells, neighbours, genes) block, 16 MB
_FIGURES = 4  # whose neighbours and arrows are kept
_KEPT: OrderedDict[bytes, tuple[NDArray[np.int64], Array]] = OrderedDict()


@guarded
def project_velocity(
    states: Array,
    velocity: Array,
    embedding: Array,
    *,
    n_neighbors: int = 30,
    scale: float = 10.0,
    space: Array | None = None,
) -> Array:
    r"""Project velocities onto an embedding through the neighbours they point at.

    An embedding has no Jacobian, so a cell moves towards those of its neighbours whose displacement from it agrees with
    its velocity (La Manno et al. 2018, Nature 560:494; Bergen et al. 2020, Nat Biotechnol 38:1408):

    .. math:: P_{ij} = \frac{e^{s \cos(x_j - x_i, v_i)}}{\sum_{k \in N(i)} e^{s \cos(x_k - x_i, v_i)}}, \qquad
        \tilde v_i = \sum_{j \in N(i)} \Big(P_{ij} - \frac{1}{|N(i)|}\Big) \frac{e_j - e_i}{\|e_j - e_i\|}

    The subtraction removes the pull of the density of cells: a velocity that favours no neighbour gives no arrow, and
    the length of an arrow says how clearly the velocity points anywhere, not how fast the cell is.

    Parameters
    ----------
    states, velocity
        (cells, genes), in the same units of expression.
    embedding
        (cells, dimensions).
    n_neighbors
        Neighbours of each cell that it may move to.
    scale
        Sharpness s: the larger, the more only the best neighbours count.
    space
        (cells, any) coordinates in which neighbours are sought, such as principal components; default `states`.

    Returns
    -------
    ndarray
        (cells, dimensions), arrows on the embedding; zero for cells without velocity.

    See Also
    --------
    scdash.pl.velocity : Draw where the fitted dynamics take the cells, on an embedding.

    Examples
    --------
    >>> import numpy as np
    >>> cells = np.random.default_rng(0).random((20, 3))
    >>> scdash.pl.project_velocity(cells, np.ones((20, 3)), cells[:, :2], n_neighbors=5).shape
    (20, 2)
    """
    check_projection(states, velocity, embedding)
    return project_to(neighbors(states if space is None else space, n_neighbors), states, velocity, embedding, scale)


def check_projection(states: Array, velocity: Array, embedding: Array) -> None:
    """Raise where these cannot be projected."""
    if states.shape != velocity.shape or len(embedding) != len(states):
        raise ValueError(
            f"states {states.shape}, velocity {velocity.shape} and embedding {embedding.shape} do not fit together."
        )
    for values, named in ((states, "expression"), (velocity, "velocity")):
        if not np.isfinite(values).all():
            raise ValueError(f"{named} holds {int((~np.isfinite(values)).sum())} values that are not finite.")
    if len(states) < 3:
        raise ValueError(f"{len(states)} cells: at least three are needed to see a direction.")


def neighbors_and_arrows(
    states: Array, velocity: Array, embedding: Array, space: Array | None, n_neighbors: int
) -> tuple[NDArray[np.int64], Array]:
    """Return the neighbours of every cell in `space` (None: that of the states), and its arrow; see :func:`project_velocity`.

    Those of the last figures are kept, and go by the values that they are made from.
    """
    check_projection(states, velocity, embedding)
    digest = hashlib.blake2b(repr((n_neighbors, states.shape, space is None)).encode(), digest_size=20)
    for values in (states, velocity, embedding, *([] if space is None else [space])):
        digest.update(np.ascontiguousarray(values).view(np.uint8).data)
    key = digest.digest()
    if key not in _KEPT:
        near = neighbors(states if space is None else space, n_neighbors)
        arrows = project_to(near, states, velocity, embedding)
        near.flags.writeable = arrows.flags.writeable = False
        _KEPT[key] = near, arrows
    _KEPT.move_to_end(key)
    while len(_KEPT) > _FIGURES:
        _KEPT.popitem(last=False)
    return _KEPT[key]


def project_to(near: NDArray[np.int64], states: Array, velocity: Array, embedding: Array, scale: float = 10.0) -> Array:
    """Project velocities through the neighbours `near` (cells, neighbours), see :func:`project_velocity`."""
    cells, count = near.shape
    arrows = np.zeros_like(embedding, dtype=np.float64)
    step = max(1, int(_BLOCK / (count * states.shape[1])))
    for start in range(0, cells, step):
        rows = slice(start, start + step)
        cosine = _cosine(states[near[rows]] - states[rows, None], velocity[rows])
        weight = np.exp(scale * (cosine - cosine.max(axis=1, keepdims=True)))
        weight /= weight.sum(axis=1, keepdims=True)
        arrows[rows] = np.einsum("ck,ckd->cd", weight - 1 / count, _directions(embedding, near, rows))
    return arrows


def project_time(time: Array, embedding: Array, near: NDArray[np.int64]) -> Array:
    r"""Return where later cells lie on an embedding, from time alone: what velocities can be held against.

    .. math:: o_i = \sum_{j \in N(i)} (t_j - \bar t_{N(i)}) \frac{e_j - e_i}{\|e_j - e_i\|}

    The mean time of the neighbours is taken off for the same reason as 1 / |N| in :func:`project_velocity`: the density
    of cells points nowhere. `near` are the neighbours of each cell, (cells,
    neighbours); those without a time count for nothing.
    """
    known = np.isfinite(time)[near]
    weight = np.where(known, time[near], 0.0)
    mean = weight.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    weight = np.where(known, weight - mean, 0.0)
    return np.asarray(np.einsum("ck,ckd->cd", weight, _directions(embedding, near, slice(None))))


def neighbors(space: Array, n_neighbors: int) -> NDArray[np.int64]:
    """Return the nearest other cells of each cell, (cells, neighbours)."""
    from sklearn.neighbors import NearestNeighbors

    count = min(n_neighbors, len(space) - 1)
    return _without_self(NearestNeighbors(n_neighbors=count + 1).fit(space).kneighbors(space, return_distance=False))


def _directions(embedding: Array, near: NDArray[np.int64], rows: slice) -> Array:
    """Return unit vectors from cells to their neighbours, (cells, neighbours, dimensions); 0 between duplicates."""
    direction = embedding[near[rows]] - embedding[rows, None]
    length = np.linalg.norm(direction, axis=2, keepdims=True)
    unit = np.divide(direction, length, out=np.zeros_like(direction, dtype=np.float64), where=length > 0)
    return np.asarray(unit)


def _without_self(near: NDArray[np.int64]) -> NDArray[np.int64]:
    """Drop each cell from its own neighbours; among duplicates it need not be the nearest, or present at all."""
    own = near == np.arange(len(near))[:, None]
    own[~own.any(axis=1), -1] = True
    return np.asarray(near[~own].reshape(len(near), -1))


def _cosine(displacement: Array, velocity: Array) -> Array:
    dot = np.einsum("ckg,cg->ck", displacement, velocity)
    size = np.linalg.norm(displacement, axis=2) * np.linalg.norm(velocity, axis=1)[:, None]
    return np.asarray(np.divide(dot, size, out=np.zeros_like(dot), where=size > 0))


def on_grid(
    points: Array,
    arrows: Array,
    *,
    n_grid: int = 40,
    smooth: float = 0.8,
    min_mass: float = 0.05,
    max_distance: float = np.inf,
) -> tuple[Array, Array, Array, Array]:
    """Average arrows on a regular grid with a Gaussian kernel, masked (NaN) where there are hardly any cells.

    `points`, `arrows`: (cells, 2). `n_grid`: grid points along each axis. `smooth`: standard deviation of the kernel
    in grid spacings. `min_mass`: grid points with less than this fraction of the densest ones' kernel mass (its 95 %
    quantile) are masked, and so are those farther than `max_distance` grid spacings from every cell.

    The result is the grid's x (n_grid,) and y (n_grid,), and the arrows' components (n_grid, n_grid), rows along y.
    """
    from scipy.spatial import cKDTree

    low, high = points.min(axis=0), points.max(axis=0)
    pad = 0.02 * np.where(high > low, high - low, 1.0)
    x, y = (np.linspace(low[i] - pad[i], high[i] + pad[i], n_grid) for i in (0, 1))
    spacing = np.array([x[1] - x[0], y[1] - y[0]])
    nodes = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2) / spacing
    tree = cKDTree(points / spacing)
    near = min(len(points), max(20, len(points) // 50))
    distance, index = tree.query(nodes, k=near)
    weight = np.exp(-0.5 * (distance / smooth) ** 2).reshape(len(nodes), -1)
    mass = weight.sum(axis=1)
    mean = np.einsum("gk,gkd->gd", weight, arrows[index.reshape(len(nodes), -1)]) / np.maximum(mass, 1e-300)[:, None]
    far = distance.reshape(len(nodes), -1)[:, 0] > max_distance
    mean[far | (mass < min_mass * np.quantile(mass[mass > 0], 0.95))] = np.nan
    u, v = mean.reshape(n_grid, n_grid, 2).transpose(2, 0, 1)
    return x, y, u, v
