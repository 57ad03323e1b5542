"""PHOENIX with hidden units on the weights that are left, with its gradient written out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash.fields.compact import Compact, CompactField, entries
from scdash.fields.evaluator import Evaluator, Record, summed
from scdash.fields.kernels import kernels
from scdash.fields.support import Support
from scdash.fields.vector_field import Params

BRANCHES = ("sums", "prods")


@dataclass(frozen=True, eq=False)
class Encoder:
    """W of one branch, gene by gene: which of its values are used, and between which genes and units."""

    used: Tensor  # places among the gathered values; weights into units that reach no gene are left out
    support: Support  # (genes of Layout.genes, units)


@dataclass(frozen=True, eq=False)
class Layout:
    """What is left of one model."""

    genes: NDArray[np.int32]  # genes that any unit reads: the activation of others is never computed
    encoders: tuple[Encoder, Encoder]
    decoder: Support  # (all genes, both branches' units)
    lengths: tuple[int, int]  # weights left in U of each branch; what follows them is padding
    order: Tensor  # from both branches' U to the decoder's values

    @classmethod
    def of(cls, masks: Mapping[str, Tensor]) -> "Layout":
        """Read the layout from one model's masks, W (units, genes) and U (genes, units)."""
        units, n = masks["W_sums"].shape
        parts = []
        for branch in BRANCHES:
            reaches = masks[f"U_{branch}"].any(0).numpy()
            gene, unit, _ = entries(masks[f"W_{branch}"], transposed=True)
            used = np.flatnonzero(reaches[unit])
            parts.append((used, gene[used], unit[used]))
        genes = np.unique(np.concatenate([gene for _, gene, _ in parts]))
        row = np.zeros(n, np.int64)
        row[genes] = np.arange(len(genes))
        encoders = tuple(
            Encoder(torch.from_numpy(used), Support.of(row[gene], unit, (len(genes), units)))
            for used, gene, unit in parts
        )
        both = [entries(masks[f"U_{branch}"])[:2] for branch in BRANCHES]
        gene = np.concatenate([g for g, _ in both])
        unit = np.concatenate([u + k * units for k, (_, u) in enumerate(both)])
        order = np.argsort(gene, kind="stable")
        decoder = Support.of(gene[order], unit[order], (n, 2 * units))
        lengths = len(both[0][0]), len(both[1][0])
        return cls(genes.astype(np.int32), (encoders[0], encoders[1]), decoder, lengths, torch.from_numpy(order))


@final
@dataclass(frozen=True)
class CompactModules(CompactField):
    """`Phoenix(encoder="modules")` on gathered weights: `W_*`, `U_*` are (models, entries left)."""

    name: ClassVar[str] = "phoenix on the weights left"
    n_genes: int
    layouts: tuple[Layout, ...]

    def evaluator(self, params: Mapping[str, Tensor]) -> "OneByOne":
        """Return the same with its derivative written out."""
        parts = enumerate(self.layouts)
        return OneByOne([_Modules(layout, {name: p[k].detach() for name, p in params.items()}) for k, layout in parts])


class _Modules:
    """One model: dx/dt = rate * (U [W_S phi_S + b_S, exp(W_P phi_P + b_P)] - x), states and units as (rows, batch).

    A row is a gene's (or unit's) value in all examples: products with sparse matrices then run along memory.
    """

    def __init__(self, layout: Layout, params: Params) -> None:
        self.layout, self.units = layout, len(params["b_sums"])
        self.padded = {name: len(params[name]) for name in ("W_sums", "W_prods", "U_sums", "U_prods")}
        used = [_taken(params[f"W_{branch}"], e.used) for branch, e in zip(BRANCHES, layout.encoders, strict=True)]
        pairs = [part.support.bind(values) for part, values in zip(layout.encoders, used, strict=True)]
        self.encode_back, self.encode = zip(*pairs, strict=True)  # genes x units, units x genes
        effects = torch.cat([params[f"U_{b}"][:k] for b, k in zip(BRANCHES, layout.lengths, strict=True)])
        self.decode, self.decode_back = layout.decoder.bind(effects.index_select(0, layout.order))
        self.b_sums, self.b_prods = params["b_sums"][:, None], params["b_prods"][:, None]
        self.rate, self.alive = params["v"].relu()[:, None], params["v"] > 0

    def forward(self, x: Tensor) -> tuple[Tensor, Record]:
        phi = x.new_empty(len(self.layout.genes), x.shape[1])
        kernels().hill(x.numpy(), self.layout.genes, phi.numpy())
        log = phi.log1p()
        sums = self.encode[0](phi).add_(self.b_sums)
        prods = self.encode[1](log).add_(self.b_prods).exp_()
        hidden = torch.cat([sums, prods])
        net = self.decode(hidden).sub_(x)
        return net * self.rate, (phi, log, hidden, net)

    def backward(self, saved: Record, gradient: Tensor) -> tuple[Tensor, Record]:
        phi, log, hidden, net = saved
        scaled = gradient * self.rate
        of_hidden = self.decode_back(scaled)
        of_hidden[self.units :] *= hidden[self.units :]  # the derivative of exp is exp
        of_sums, of_prods = of_hidden[: self.units], of_hidden[self.units :]
        through_sums, through_prods = self.encode_back[0](of_sums), self.encode_back[1](of_prods)
        of_x = scaled.neg()
        kernels().add_hills_gradient(
            phi.numpy(), through_sums.numpy(), through_prods.numpy(), self.layout.genes, of_x.numpy()
        )
        return of_x, (phi, log, hidden, scaled, of_hidden, gradient * net)

    def collect(self, factors: Record) -> Params:
        phi, log, hidden, scaled, of_hidden, of_rate = factors
        of_sums, of_prods = of_hidden[: self.units], of_hidden[self.units :]
        sums, prods = self.layout.encoders
        effects = scaled.new_empty(len(self.layout.order))
        effects.index_copy_(0, self.layout.order, self.layout.decoder.forward.sampled(scaled, hidden))
        u_sums, u_prods = torch.split(effects, list(self.layout.lengths))  # type: ignore[no-untyped-call]
        found = {
            "W_sums": _spread(sums.support.forward.sampled(phi, of_sums), sums.used, self.padded["W_sums"]),
            "W_prods": _spread(prods.support.forward.sampled(log, of_prods), prods.used, self.padded["W_prods"]),
            "U_sums": torch.nn.functional.pad(u_sums, (0, self.padded["U_sums"] - len(u_sums))),
            "U_prods": torch.nn.functional.pad(u_prods, (0, self.padded["U_prods"] - len(u_prods))),
        }
        bias = {"b_sums": of_sums.sum(1), "b_prods": of_prods.sum(1)}
        return found | bias | {"v": of_rate.sum(1) * self.alive}


class OneByOne(Evaluator[list[Record]]):
    """A stack of models that each have a layout of their own, computed one by one."""

    def __init__(self, models: Sequence[_Modules]) -> None:
        self.models = models

    def forward(self, x: Tensor) -> tuple[Tensor, list[Record]]:
        """Return dx/dt and what the derivative needs."""
        found = [one.forward(state.mT.contiguous()) for state, one in zip(x.detach(), self.models, strict=True)]
        return _stacked([velocity for velocity, _ in found]), [saved for _, saved in found]

    def backward(self, saved: list[Record], gradient: Tensor, *, wanted: bool) -> tuple[Tensor | None, list[Record]]:
        """Return the derivative with respect to the states, and the factors of that with respect to the weights."""
        parts = zip(self.models, saved, gradient, strict=True)
        found = [one.backward(kept, part.mT.contiguous()) for one, kept, part in parts]
        return (_stacked([of_x for of_x, _ in found]) if wanted else None), [factors for _, factors in found]

    def collect(self, factors: list[list[Record]]) -> Params:
        """Return the derivative with respect to the weights, summed over evaluations."""
        collected = [
            summed(one.collect, [record[place] for record in factors]) for place, one in enumerate(self.models)
        ]
        return {name: torch.stack([found[name] for found in collected]) for name in collected[0]}


def _stacked(columns: list[Tensor]) -> Tensor:
    """Return (models, batch, genes), without a copy for one model."""
    rows = [state.mT for state in columns]
    return rows[0][None] if len(rows) == 1 else torch.stack(rows)


def _taken(values: Tensor, used: Tensor) -> Tensor:
    """Return the values used; most often all of them."""
    return values if len(used) == len(values) else values.index_select(0, used)


def _spread(values: Tensor, used: Tensor, length: int) -> Tensor:
    """Undo `_taken`, with 0 for what was not used."""
    return values if len(used) == length else values.new_zeros(length).index_copy_(0, used, values)


def compact_modules(n_genes: int, masks: Mapping[str, Tensor], density: float) -> Compact:
    """Return PHOENIX with hidden units on what the masks leave, and where that lies."""
    models = len(masks["W_sums"])
    layouts = tuple(Layout.of({name: mask[model] for name, mask in masks.items()}) for model in range(models))
    places = {
        name: [entries(mask[model], transposed=name.startswith("W"))[2] for model in range(models)]
        for name, mask in masks.items()
    }
    return Compact(CompactModules(n_genes, layouts), places, density)
