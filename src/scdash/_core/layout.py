"""Where the nodes and edges of a small network go, in points: boxes never overlap, edges end at boxes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def arrange(
    names: Sequence[str], edges: Sequence[tuple[str, str]], sizes: Points, *, length: float, aspect: float = 1.35
) -> tuple[Points, tuple[float, float]]:
    """Return middles of boxes on a sheet and the sheet's width and height, in points.

    Every connected part is laid out by its springs (Kamada-Kawai) with edges about `length` long, its boxes are pushed
    apart, and the parts are set in rows, the tallest first.

    `names`, `edges`: nodes, and pairs of them. `sizes`: (nodes, 2) width and height of the box around each node.
    `length`: distance of joined nodes. `aspect`: width of the sheet over its height, roughly.
    """
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(names)
    graph.add_edges_from(edges)
    place = {name: i for i, name in enumerate(names)}
    parts = [np.array([place[name] for name in sorted(part)]) for part in nx.connected_components(graph)]
    local = []
    for part in parts:
        chosen = [names[i] for i in part]
        # a hub's targets need a circle on which they find room beside each other
        crowd = max(degree for _, degree in graph.degree(chosen)) * float(np.mean(sizes[part, 0])) * 0.75 / (2 * np.pi)
        # not graph.subgraph, whose order of nodes, and with it the layout, differs from one process to the next
        own = nx.Graph()
        own.add_nodes_from(chosen)
        own.add_edges_from(pair for pair in edges if pair[0] in own)
        middles = separate(_springs(nx, own, chosen) * max(length, crowd), sizes[part])
        corner = (middles - sizes[part] / 2).min(axis=0)
        local.append((middles - corner, (middles + sizes[part] / 2).max(axis=0) - corner))
    corners, area = _shelves([size for _, size in local], gap=0.3 * length, aspect=aspect)
    found = np.zeros((len(names), 2))
    for part, (middles, _), corner in zip(parts, local, corners, strict=True):
        found[part] = middles + corner
    return found, area


def _springs(nx: Any, graph: Any, part: Sequence[str]) -> Points:
    """Return positions of one connected part, joined nodes about 1 apart, the longer side across."""
    if len(part) == 1:
        return np.zeros((1, 2))
    solved = nx.kamada_kawai_layout(graph) if len(part) <= 200 else nx.spring_layout(graph, seed=0)
    middles = np.array([solved[name] for name in part], dtype=np.float64)
    middles -= middles.mean(axis=0)
    axes = np.linalg.svd(middles, full_matrices=False)[2]
    signs = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])  # svd leaves the sign open
    middles = middles @ (axes * signs[:, None]).T
    apart = [np.linalg.norm(np.subtract(solved[a], solved[b])) for a, b in graph.edges]
    return np.asarray(middles / max(float(np.median(apart)), 1e-9))


def separate(middles: Points, sizes: Points, *, rounds: int = 2000) -> Points:
    """Push overlapping boxes apart, each pair along the axis where it overlaps least, until none overlap."""
    position = np.array(middles, dtype=np.float64)
    need = (sizes[:, None] + sizes[None]) / 2
    order = np.sign(np.arange(len(position))[:, None] - np.arange(len(position)))  # parts boxes that coincide
    for _ in range(rounds):
        apart = position[:, None] - position[None]
        overlap = need - np.abs(apart)
        np.einsum("iik->ik", overlap)[:] = -1.0
        hit = (overlap > 1e-6).all(axis=2)
        if not hit.any():
            return position
        along = overlap.argmin(axis=2)[..., None]
        distance = np.take_along_axis(apart, along, 2)[..., 0]
        side = np.where(np.abs(distance) < 1e-9, order, np.sign(distance))
        push = np.where(hit, side * (np.take_along_axis(overlap, along, 2)[..., 0] / 2 + 0.05), 0.0)
        for axis in (0, 1):
            on_axis = along[..., 0] == axis
            count = np.maximum((hit & on_axis).sum(axis=1), 1)
            position[:, axis] += np.where(on_axis, push, 0.0).sum(axis=1) / np.sqrt(count)
    return separate(position * 1.2, sizes, rounds=rounds)  # too crowded to sort out: make room and go on


def _shelves(sizes: Sequence[Points], *, gap: float, aspect: float) -> tuple[list[Points], tuple[float, float]]:
    """Set rectangles in rows, the tallest first; return their lower left corners and the area they take."""
    filled = sum(float(np.prod(size + gap)) for size in sizes)
    width = max(max(float(size[0]) for size in sizes), 1.08 * float(np.sqrt(filled * aspect)))
    rows: list[list[int]] = []
    used = np.inf
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i][1], -sizes[i][0], i)):
        if used + sizes[i][0] > width:
            rows.append([])
            used = 0.0
        rows[-1].append(i)
        used += sizes[i][0] + gap
    corners: list[Points] = [np.zeros(2)] * len(sizes)
    extent = max(sum(float(sizes[i][0]) + gap for i in row) - gap for row in rows)
    y = 0.0
    for row in reversed(rows):  # the tallest row ends on top
        tall = max(float(sizes[i][1]) for i in row)
        spare = extent - sum(float(sizes[i][0]) for i in row)
        between = min(spare / max(len(row) - 1, 1), 2.0 * gap) if len(row) > 1 else 0.0
        x = (spare - between * (len(row) - 1)) / 2
        for i in row:
            corners[i] = np.array([x, y + (tall - float(sizes[i][1])) / 2])
            x += float(sizes[i][0]) + between
        y += tall + gap
    return corners, (extent, y - gap)


def route(start: int, end: int, middles: Points, sizes: Points, *, gap: float = 2.5) -> Points:
    """Return the points of an edge from box to box, bent as little as keeps it off the other boxes."""
    cheapest, chosen = np.inf, middles[[start, end]]
    for bend in (0.08, -0.08, 0.2, -0.2, 0.35, -0.35):
        curve = _curve(middles[start], middles[end], bend)
        outside = (_clearance(curve, middles[start], sizes[start]) > gap) & (
            _clearance(curve, middles[end], sizes[end]) > gap
        )
        kept = curve[outside] if np.count_nonzero(outside) > 2 else curve[[20, 30, 40]]
        others = [i for i in range(len(middles)) if i not in (start, end)]
        crossed = sum(float(np.any(_clearance(kept, middles[i], sizes[i]) < 1.0)) for i in others)
        cost = crossed + abs(bend)
        if cost < cheapest:
            cheapest, chosen = cost, kept
        if crossed == 0:
            break
    return chosen


def _curve(start: Points, end: Points, bend: float) -> Points:
    """Return 61 points of the quadratic Bezier curve whose control point lies `bend` lengths off the chord."""
    chord = end - start
    control = (start + end) / 2 + bend * np.array([chord[1], -chord[0]])
    t = np.linspace(0, 1, 61)[:, None]
    return np.asarray((1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end)


def _clearance(points: Points, middle: Points, size: Points) -> NDArray[np.float64]:
    """Return the signed distance of points from a box with round ends, negative inside."""
    straight = max(float(size[0] - size[1]) / 2, 0.0)
    away = np.abs(points - middle)
    away[:, 0] = np.maximum(away[:, 0] - straight, 0.0)
    return np.asarray(np.hypot(away[:, 0], away[:, 1]) - size[1] / 2)
