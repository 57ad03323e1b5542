"""PHOENIX with hidden units on the weights that are left, with its gradient written out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from scdash.fields._base import Params, RegulatoryPath, VectorField, Velocity
from scdash.fields._compact import Compact, batch_last, entries
from scdash.fields._kernels import kernels
from scdash.fields._support import Product, Support

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


@dataclass(frozen=True, eq=False)
class Bound:
    """A layout with the products of one set of weights: forward and back, W_S, W_P and U."""

    layout: Layout
    encode: tuple[Product, Product]  # units x genes
    encode_back: tuple[Product, Product]  # genes x units
    decode: Product  # genes x units
    decode_back: Product


@final
@dataclass(frozen=True)
class CompactModules(VectorField):
    """`Phoenix(encoder="modules")` on gathered weights: `W_*`, `U_*` are (models, entries left)."""

    name: ClassVar[str] = "phoenix on the weights left"
    n_genes: int
    layouts: tuple[Layout, ...]

    def init(self, n_models: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        """Refuse: weights are gathered, never drawn."""
        raise TypeError("A compact field takes the weights of the field it stands for; see Compact.gather.")

    def paths(self) -> tuple[RegulatoryPath, ...]:
        """Refuse: sparsity methods see the whole field."""
        raise TypeError("A compact field has no matrices; prune the field it stands for.")

    def learning_rates(self) -> dict[str, float]:
        """Return the factor 5 of the gene multipliers v, as `Phoenix` has it."""
        return {"v": 5.0}

    def lift(self, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Lay states out gene by gene."""
        return batch_last(x)

    def bind(self, params: Mapping[str, Tensor]) -> Velocity:
        """Return x -> dx/dt, (models, batch, genes)."""
        models = [self._bind(model, params) for model in range(len(self.layouts))]

        def velocity(x: Tensor) -> Tensor:
            found = [
                _Modules.apply(state.mT.contiguous(), *weights, bound).mT  # type: ignore[no-untyped-call]
                for state, (weights, bound) in zip(x, models, strict=True)
            ]
            return found[0][None] if len(found) == 1 else torch.stack(found)

        return velocity

    def _bind(self, model: int, params: Mapping[str, Tensor]) -> tuple[list[Tensor], Bound]:
        layout = self.layouts[model]
        encoders = [
            params[f"W_{branch}"][model][part.used] for branch, part in zip(BRANCHES, layout.encoders, strict=True)
        ]
        gathered = [params[f"U_{b}"][model, :k] for b, k in zip(BRANCHES, layout.lengths, strict=True)]
        decoder = torch.cat(gathered)[layout.order]
        offsets = torch.cat([params["b_sums"][model], params["b_prods"][model]])
        back, encode = zip(*(e.support.bind(w) for e, w in zip(layout.encoders, encoders, strict=True)), strict=True)
        decode, decode_back = layout.decoder.bind(decoder)
        bound = Bound(layout, (encode[0], encode[1]), (back[0], back[1]), decode, decode_back)
        return [*encoders, offsets, decoder, params["v"][model].relu()[:, None]], bound


class _Modules(torch.autograd.Function):
    """dx/dt = rate * (U [W_S phi_S + b_S, exp(W_P phi_P + b_P)] - x), states and units as (rows, batch)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w_sums: Tensor, w_prods: Tensor, offsets: Tensor, u: Tensor, rate: Tensor, bound: Bound
    ) -> Tensor:
        layout, units, x = bound.layout, len(offsets) // 2, x.detach()
        phi = x.new_empty(len(layout.genes), x.shape[1])
        kernels().hill(x.numpy(), layout.genes, phi.numpy())
        log = phi.log1p()
        sums = bound.encode[0](phi) + offsets[:units, None]
        prods = (bound.encode[1](log) + offsets[units:, None]).exp_()
        hidden = torch.cat([sums, prods])
        net = bound.decode(hidden).sub_(x)
        ctx.save_for_backward(phi, log, hidden, net, rate)
        ctx.bound = bound
        return net * rate

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        phi, log, hidden, net, rate = ctx.saved_tensors
        bound: Bound = ctx.bound
        layout, units = bound.layout, len(hidden) // 2
        gradient = gradient.contiguous()
        scaled = gradient * rate
        of_rate = (gradient * net).sum(1, keepdim=True)
        of_u = layout.decoder.forward.sampled(scaled, hidden)
        of_hidden = bound.decode_back(scaled)
        of_hidden[units:] *= hidden[units:]
        sums, prods = of_hidden[:units], of_hidden[units:]
        of_sums = layout.encoders[0].support.forward.sampled(phi, sums)
        of_prods = layout.encoders[1].support.forward.sampled(log, prods)
        of_x = scaled.neg_()
        through = [back(part) for back, part in zip(bound.encode_back, (sums, prods), strict=True)]
        kernels().add_hill_gradient(phi.numpy(), through[0].numpy(), through[1].numpy(), layout.genes, of_x.numpy())
        return of_x, of_sums, of_prods, of_hidden.sum(1), of_u, of_rate, None


def compact_modules(n_genes: int, masks: Mapping[str, Tensor], density: float) -> Compact:
    """Return PHOENIX with hidden units on what the masks leave, and where that lies."""
    models = len(masks["W_sums"])
    layouts = tuple(Layout.of({name: mask[model] for name, mask in masks.items()}) for model in range(models))
    places = {
        name: [entries(mask[model], transposed=name.startswith("W"))[2] for model in range(models)]
        for name, mask in masks.items()
    }
    return Compact(CompactModules(n_genes, layouts), places, density)
