"""Gene-wise PHOENIX on its edges alone: a stack of networks is one sparse matrix, block by block, of one big state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash.fields.evaluator import Evaluator, Record, summed
from scdash.fields.kernels import kernels
from scdash.fields.support import Support
from scdash.fields.vector_field import Params

Edges = tuple[NDArray[np.int64], NDArray[np.int64]]  # targets, and regulators or numbers of pairs


@dataclass(frozen=True, eq=False)
class EdgeLayout:
    """Where the edges of a stack lie; states are (models * genes, batch).

    Features are the activations of the genes that regulate, of one model after the other, and then the products of
    their pairs in the same way.
    """

    models: int
    genes: NDArray[np.int32]  # rows of the state whose activation is a feature
    first: NDArray[np.int32]  # features that a pair multiplies
    second: NDArray[np.int32]
    support: Support  # (models * genes, features)
    order: Tensor  # places of its values among those of U_sums and U_prods, flattened and joined

    @classmethod
    def of(
        cls,
        n_genes: int,
        edges: Sequence[Edges],
        products: Sequence[Edges] = (),
        pairs: NDArray[np.int64] | None = None,
    ) -> "EdgeLayout":
        """Lay out every model's edges (target, regulator) and products (target, number of the pair).

        Parameters hold the values in this order, padded to the length of the longest.
        """
        models = len(edges)
        used = np.unique(np.concatenate([pair for _, pair in products])) if products else np.zeros(0, np.int64)
        members = pairs[used] if pairs is not None else np.zeros((0, 2), np.int64)
        genes = np.unique(np.concatenate([*(regulator for _, regulator in edges), members.ravel()]))
        singles = [(target, np.searchsorted(genes, regulator)) for target, regulator in edges]
        doubles = [(target, np.searchsorted(used, pair)) for target, pair in products]
        longest = max((len(target) for target, _ in singles), default=0)
        widest = max((len(target) for target, _ in doubles), default=0)
        rows, columns, places = [], [], []
        for model in range(models):
            for parts, size, before, length, shift in (
                (singles, len(genes), 0, longest, 0),
                (doubles, len(used), models * len(genes), widest, models * longest),
            ):
                if parts:
                    target, feature = parts[model]
                    rows.append(model * n_genes + target)
                    columns.append(before + model * size + feature)
                    places.append(shift + model * length + np.arange(len(target)))
        row, column, place = (np.concatenate(parts) for parts in (rows, columns, places))
        order = np.argsort(row, kind="stable")
        shape = (models * n_genes, models * (len(genes) + len(used)))
        support = Support.of(row[order], column[order], shape)
        offset = np.arange(models)[:, None]
        first, second = (
            (offset * len(genes) + np.searchsorted(genes, members[:, side])).ravel().astype(np.int32) for side in (0, 1)
        )
        every = (offset * n_genes + genes).ravel().astype(np.int32)
        return cls(models, every, first, second, support, torch.from_numpy(place[order]))


class EdgeWise(Evaluator[Record]):
    """relu(v) (U_S phi + U_P [phi_a phi_b] + bias - x) of all models at once, on a CPU."""

    def __init__(self, layout: EdgeLayout, params: Mapping[str, Tensor]) -> None:
        p = {name: value.detach() for name, value in params.items()}
        self.layout, self.shapes = layout, {name: p[name].shape for name in ("U_sums", "U_prods") if name in p}
        self.values = _flat(p).index_select(0, layout.order)
        self.back = self.values.index_select(0, layout.support.order).numpy()
        self.bias, self.rate = p["bias"].reshape(-1).numpy(), p["v"].relu().reshape(-1).numpy()
        self.alive = p["v"] > 0

    def forward(self, x: Tensor) -> tuple[Tensor, Record]:
        """Return dx/dt and what the derivative needs."""
        layout, places, loops = self.layout, self.layout.support.forward, kernels()
        flat = self._rows(x).numpy()
        features = np.empty((places.shape[1], flat.shape[1]), flat.dtype)
        loops.hill(flat, layout.genes, features)
        loops.multiply(features, layout.first, layout.second, features[len(layout.genes) :])
        net, velocity = np.empty_like(flat), np.empty_like(flat)
        loops.relax(
            places.start, places.index, self.values.numpy(), features, flat, self.bias, self.rate, net, velocity
        )
        return self._states(velocity), (torch.from_numpy(features), torch.from_numpy(net))

    def advance(self, x: Tensor, duration: float, steps: int, held: Tensor | None) -> Tensor:
        """Return states after some time, by Runge-Kutta steps of the same length; held genes stay."""
        layout, places = self.layout, self.layout.support.forward
        state = np.array(self._rows(x).numpy())
        fixed = np.zeros((0, 0), bool) if held is None else self._rows(held).numpy()
        room = np.empty((places.shape[1], state.shape[1]), state.dtype), np.empty_like(state), np.empty_like(state)
        edges = (places.start, places.index, self.values.numpy(), layout.genes, layout.first, layout.second)
        step = state.dtype.type(duration / steps)
        kernels().runge_kutta(*edges, self.bias, self.rate, fixed, step, steps, state, *room)
        return self._states(state)

    def backward(self, saved: Record, gradient: Tensor, *, wanted: bool) -> tuple[Tensor | None, Record]:
        """Return the derivative with respect to the states, and the factors of that with respect to the weights."""
        layout, places, loops = self.layout, self.layout.support.backward, kernels()
        features, net = (part.numpy() for part in saved)
        of_velocity = self._rows(gradient).numpy()
        scaled, of_x, of_rate = np.empty_like(net), np.empty_like(net), np.empty((len(net), 1), net.dtype)
        loops.relax_back(of_velocity, self.rate, net, scaled, of_x, of_rate)
        factors = saved[0], torch.from_numpy(scaled), torch.from_numpy(of_rate)
        if not wanted:
            return None, factors
        through = np.empty_like(features)
        loops.times(places.start, places.index, self.back, scaled, through)
        loops.add_multiply_gradient(features, layout.first, layout.second, through[len(layout.genes) :], through)
        loops.add_hill_gradient(features, through, layout.genes, of_x)
        return self._states(of_x), factors

    def collect(self, factors: list[Record]) -> Params:
        """Return the derivative with respect to the weights, summed over evaluations."""
        return summed(self._collect, factors)

    def _collect(self, factors: Record) -> Params:
        features, scaled, of_rate = factors
        values = self.layout.support.forward.sampled(scaled, features)
        flat = values.new_zeros(sum(shape.numel() for shape in self.shapes.values()))
        flat.index_copy_(0, self.layout.order, values)
        parts = torch.split(flat, [shape.numel() for shape in self.shapes.values()])  # type: ignore[no-untyped-call]
        found = {name: part.reshape(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}
        bias, rate = scaled.sum(1).reshape(self.alive.shape), of_rate.sum(1).reshape(self.alive.shape)
        return found | {"bias": bias, "v": rate * self.alive}

    def _rows(self, x: Tensor) -> Tensor:
        """Return (models, batch, genes) as (models * genes, batch)."""
        return x.detach().mT.reshape(-1, x.shape[1]).contiguous()

    def _states(self, rows: NDArray[Any]) -> Tensor:
        """Undo `_rows`."""
        return torch.from_numpy(rows).reshape(self.layout.models, -1, rows.shape[1]).mT


def _flat(params: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([params[name].flatten() for name in ("U_sums", "U_prods") if name in params])
