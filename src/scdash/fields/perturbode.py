"""PerturbODE: modules of genes that switch production on (Lin et al.), with interventions as masks and shifts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor
from torch.nn.functional import softplus

from scdash._core.errors import check_least
from scdash.fields.vector_field import FIELDS, Layer, Params, RegulatoryPath, VectorField, Velocity

SLOWEST = 1e-4  # added to the decay, so that a steady state always exists


@FIELDS.register("perturbode")
@final
@dataclass(frozen=True)
class PerturbODE(VectorField):
    r"""dx/dt = M [A sigmoid(alpha (B x - beta)) + b] + u - w x   (Lin et al., Eq. 1 and 2, plus a bias b).

    x (models, batch, genes) is log1p expression. Parameters: `A` (models, genes, modules), `B` (models, modules,
    genes), `raw_alpha`, `raw_beta` (models, modules), `raw_w` (models, genes), `bias` (models, genes), with
    alpha = softplus, w = softplus + 1e-4; beta is free (the paper's is positive; log expression is, too, so a
    threshold below zero only means "always on"). The network is G = A diag(alpha) B, (target, regulator). M and u
    are not weights but the intervention: `velocity_under`. Gene-wise (`n_modules=0`): every gene is its own module,
    there is no B, and A (models, target, regulator) is the network, without self edges.
    """

    name: ClassVar[str] = "perturbode"
    n_genes: int
    n_modules: int = 0

    def check(self) -> None:
        """Raise for a negative number of modules."""
        check_least("n_modules", self.n_modules, 0)

    @property
    def width(self) -> int:
        """Number of modules, the genes themselves if gene-wise."""
        return self.n_modules or self.n_genes

    def init(self, n_models: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        """Draw weights for data in which a gene is near 1; `centred` then fits them to the control."""
        n, m = self.n_genes, self.width
        params = {
            "A": torch.randn(n_models, n, m, generator=generator) * 0.3 / m**0.5,
            "raw_alpha": _inverse_softplus(torch.ones(n_models, m)),
            "raw_beta": torch.full((n_models, m), 0.5),
            "raw_w": _inverse_softplus(torch.full((n_models, n), 0.5)),
            "bias": torch.zeros(n_models, n),
        }
        if self.n_modules:
            params["B"] = torch.randn(n_models, m, n, generator=generator) * 0.3 / n**0.5
        else:
            params["A"] = params["A"] * (1 - torch.eye(n))
        return {name: p.to(dtype) for name, p in params.items()}

    def centred(self, params: Params, control: Tensor) -> Params:
        """Return weights for which the `control` mean (genes,) is a fixed point with every module at half activity.

        B gets a rank-one correction so that B x_control = beta (or beta the control, gene-wise); A has rows without
        mean plus 2 w x_control / modules, so that A/2 sums to w x_control.
        """
        made = dict(params)
        w = self.rates(params)
        if self.n_modules:
            gap = params["raw_beta"] - params["B"] @ control
            made["B"] = params["B"] + gap[..., None] * control / (control @ control).clamp_min(1e-12)
            rows = params["A"] - params["A"].mean(-1, keepdim=True)
            made["A"] = rows + (2 / self.width) * (w * control)[..., None]
        else:
            made["raw_beta"] = control.expand_as(params["raw_beta"]).clone()
            made["bias"] = w * control - 0.5 * params["A"].sum(-1)
        return made

    def bind(self, params: Mapping[str, Tensor]) -> Velocity:
        """Return x -> dx/dt without an intervention."""
        made, w = self.production(params), self.rates(params)[:, None]
        return lambda x: made(x) - w * x

    def production(self, params: Mapping[str, Tensor]) -> Velocity:
        """Return x -> A sigmoid(alpha (B x - beta)) + b for x (models, batch, genes)."""
        decode, alpha, bias = params["A"].mT, softplus(params["raw_alpha"])[:, None], params["bias"][:, None]
        threshold = params["raw_beta"][:, None]
        encode = params["B"].mT if self.n_modules else None

        def made(x: Tensor) -> Tensor:
            signal = x if encode is None else x @ encode
            return torch.sigmoid(alpha * (signal - threshold)) @ decode + bias

        return made

    def velocity_under(self, params: Mapping[str, Tensor], mask: Tensor, shift: Tensor) -> Velocity:
        """Return x -> M production + u - w x; mask and shift broadcast against x (models, batch, genes)."""
        made, w = self.production(params), self.rates(params)[:, None]
        return lambda x: mask * made(x) + shift - w * x

    def rates(self, params: Mapping[str, Tensor]) -> Tensor:
        """Return the decay w > 0, (models, genes)."""
        return softplus(params["raw_w"]) + SLOWEST

    def paths(self) -> tuple[RegulatoryPath, ...]:
        """Return genes -> modules -> genes; the product of the effects is G = A diag(alpha) B."""
        decode = Layer("A", importance=lambda p: p["A"].abs(), effect=lambda p: p["A"])
        if not self.n_modules:
            return (RegulatoryPath("genes", (Layer("A", lambda p: _scaled(p).abs(), _scaled),)),)
        encode = Layer("B", lambda p: p["B"].abs(), lambda p: softplus(p["raw_alpha"])[..., None] * p["B"])
        return (RegulatoryPath("modules", (encode, decode), factorised=True),)

    def structure(self) -> Params:
        """Gene-wise networks have no self edges."""
        return {} if self.n_modules else {"A": ~torch.eye(self.n_genes, dtype=torch.bool)[None]}

    def network(self, params: Mapping[str, Tensor]) -> Tensor:
        """Return G = A diag(alpha) B (models, target, regulator)."""
        scaled = _scaled(params)
        return scaled @ params["B"] if self.n_modules else scaled

    def sensitivity(self, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return diag(1/w) A diag(alpha sigma'(z)) B at one state x (genes,): d steady state / d regulator, direct."""
        signal = params["B"] @ x if self.n_modules else x
        active = torch.sigmoid(softplus(params["raw_alpha"]) * (signal - params["raw_beta"]))
        scaled = params["A"] * (softplus(params["raw_alpha"]) * active * (1 - active))[:, None, :]
        whole = scaled @ params["B"] if self.n_modules else scaled
        return whole / self.rates(params)[..., None]


def _scaled(params: Mapping[str, Tensor]) -> Tensor:
    return params["A"] * softplus(params["raw_alpha"])[:, None, :]


def _inverse_softplus(y: Tensor) -> Tensor:
    return y + torch.log(-torch.expm1(-y))
