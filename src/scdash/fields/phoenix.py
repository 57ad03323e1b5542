"""PHOENIX: gene dynamics through additive and multiplicative regulatory effects (Hossain et al. 2024)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from scdash.fields.hill import hill_sums
from scdash.fields.networks import uniform
from scdash.fields.vector_field import FIELDS, Layer, Params, RegulatoryPath, VectorField, Velocity


@FIELDS.register("phoenix")
@final
@dataclass(frozen=True)
class Phoenix(VectorField):
    r"""PHOENIX (Hossain et al. 2024, Eq. 3) for states x (models, batch, genes), arbitrary units near [0, 1].

    encoder="modules", the paper's, with `n_hidden` units m::

        dx/dt = relu(v) * (U_S c_S + U_P c_P - x),  c_S = W_S phi_S(x) + b_S,  c_P = exp(W_P phi_P(x) + b_P)

    with `W_sums`, `W_prods` (models, m, genes), `b_sums`, `b_prods` (models, m), `U_sums`, `U_prods`
    (models, genes, m) and `v` (models, genes).

    encoder="genes", every gene its own unit, so that U IS the network, row = target, column = regulator::

        dx/dt = relu(v) * (U_S phi_S(x) + U_P [phi_S(x_a) phi_S(x_b)]_pairs + bias - x)

    with `U_sums` (models, genes, genes) without self edges, `bias`, `v` (models, genes) and, with `pairs` of gene
    indices (a, b), `U_prods` (models, genes, pairs).
    """

    name: ClassVar[str] = "phoenix"
    ENCODERS: ClassVar[tuple[str, ...]] = ("genes", "modules")
    n_genes: int
    encoder: Literal["genes", "modules"] = "genes"
    n_hidden: int = 40
    pairs: tuple[tuple[int, int], ...] = ()

    def check(self) -> None:
        """Raise for sizes that are not positive, and for products of genes that there are not."""
        if self.n_genes < 1 or self.n_hidden < 1:
            raise ValueError(f"n_genes and n_hidden must be positive, found {self.n_genes} and {self.n_hidden}.")
        pairs = self.pairs
        if pairs and self.encoder == "modules":
            raise ValueError("pairs are for encoder='genes'; encoder='modules' has products of its own (U_prods).")
        if any(not 0 <= gene < self.n_genes for pair in pairs for gene in pair):
            raise ValueError(f"pairs must hold gene indices from 0 to {self.n_genes - 1}, found {pairs}.")

    def init(self, n_models: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        """Draw weights as the released code does: W 95 % sparse, U orthogonal; gene-wise: small uniform U."""
        params = (
            self._init_modules(n_models, generator)
            if self.encoder == "modules"
            else self._init_genes(n_models, generator)
        )
        params["v"] = torch.rand(n_models, self.n_genes, generator=generator, dtype=torch.float64)
        return {name: value.to(dtype) for name, value in params.items()}

    def _init_modules(self, n_models: int, generator: torch.Generator) -> Params:
        r, m, n = n_models, self.n_hidden, self.n_genes
        bound = 1 / math.sqrt(n)
        params = {}
        for branch in ("sums", "prods"):
            params[f"W_{branch}"] = sparse_normal(r, m, n, generator)
            params[f"b_{branch}"] = uniform((r, m), bound, generator)
            params[f"U_{branch}"] = orthogonal(r, n, m, generator)
        return params

    def _init_genes(self, n_models: int, generator: torch.Generator) -> Params:
        r, n = n_models, self.n_genes
        params = {
            "U_sums": uniform((r, n, n), 1 / n, generator) * ~torch.eye(n, dtype=torch.bool),
            "bias": torch.full((r, n), 0.5, dtype=torch.float64),  # the middle of the data's range
        }
        if self.pairs:
            params["U_prods"] = uniform((r, n, len(self.pairs)), 1 / n, generator)
        return params

    def bind(self, params: Mapping[str, Tensor]) -> Velocity:
        """Return x -> dx/dt; see the class."""
        return _bind_modules(params) if self.encoder == "modules" else _bind_genes(params, self.pairs)

    def paths(self) -> tuple[RegulatoryPath, ...]:
        """Return the additive and the multiplicative branch."""
        if self.encoder == "genes":
            sums = RegulatoryPath("sums", (_decoder("U_sums"),))
            prods = RegulatoryPath("prods", (_decoder("U_prods"),), inputs=self.pairs, linear=False)
            return (sums, prods) if self.pairs else (sums,)
        # W_P acts on logarithms, so its exponential is what it multiplies with (paper B.2.3)
        encode_sums = Layer("W_sums", lambda p: p["W_sums"].abs(), lambda p: p["W_sums"])
        encode_prods = Layer("W_prods", lambda p: p["W_prods"].exp(), lambda p: p["W_prods"])
        return (
            RegulatoryPath("sums", (encode_sums, _decoder("U_sums"))),
            RegulatoryPath("prods", (encode_prods, _decoder("U_prods"))),
        )

    def structure(self) -> Params:
        """Return the gene-wise network's mask without self edges."""
        if self.encoder == "modules":
            return {}
        return {"U_sums": ~torch.eye(self.n_genes, dtype=torch.bool)[None]}

    def learning_rates(self) -> dict[str, float]:
        """Return the factor 5 of the gene multipliers v (released code)."""
        return {"v": 5.0}

    def rates(self, params: Mapping[str, Tensor]) -> Tensor:
        """Return relu(v), (models, genes)."""
        return params["v"].relu()


def _decoder(name: str) -> Layer:
    """Return the layer U: its weights count by what reaches the derivative, relu(v) |U|."""
    return Layer(name, lambda p: p[name].abs() * p["v"].relu()[:, :, None], lambda p: p[name])


def _bind_modules(params: Mapping[str, Tensor]) -> Velocity:
    w_sums, w_prods = params["W_sums"].mT, params["W_prods"].mT
    b_sums, b_prods = params["b_sums"][:, None], params["b_prods"][:, None]
    decode = torch.cat([params["U_sums"].mT, params["U_prods"].mT], dim=1)  # one wide product is faster than two
    rate = params["v"].relu()[:, None]

    def velocity(x: Tensor) -> Tensor:
        phi = hill_sums(x)
        sums = torch.baddbmm(b_sums, phi, w_sums)
        prods = torch.baddbmm(b_prods, phi.log1p(), w_prods).exp()
        return rate * torch.baddbmm(x, torch.cat([sums, prods], dim=2), decode, beta=-1)

    return velocity


def _bind_genes(params: Mapping[str, Tensor], pairs: tuple[tuple[int, int], ...]) -> Velocity:
    u_sums, bias, rate = params["U_sums"].mT, params["bias"][:, None], params["v"].relu()[:, None]
    first, second = (
        (torch.tensor(side, device=bias.device) for side in zip(*pairs, strict=True)) if pairs else (None, None)
    )
    u_prods = params["U_prods"].mT if pairs else None

    def velocity(x: Tensor) -> Tensor:
        phi = hill_sums(x)
        production = torch.baddbmm(bias - x, phi, u_sums)
        if u_prods is not None:
            production = torch.baddbmm(production, phi[..., first] * phi[..., second], u_prods)
        return rate * production

    return velocity


def sparse_normal(
    n_models: int, rows: int, columns: int, generator: torch.Generator, *, sparsity: float = 0.95, sd: float = 0.05
) -> Tensor:
    """Return N(0, sd) matrices with ceil(sparsity * rows) zeros in every column, (models, rows, columns)."""
    shape = (n_models, rows, columns)
    weight = torch.randn(shape, generator=generator, dtype=torch.float64) * sd
    order = torch.rand(shape, generator=generator, dtype=torch.float64).argsort(1).argsort(1)
    return weight * (order >= math.ceil(sparsity * rows))


def orthogonal(n_models: int, rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Return matrices (models, rows, columns) with orthonormal columns (or rows, if fewer), uniformly drawn."""
    tall = torch.randn(n_models, max(rows, columns), min(rows, columns), generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(tall)
    q = torch.mul(q, r.diagonal(dim1=-2, dim2=-1).sgn()[:, None])  # QR's own signs are not uniform
    return q if rows >= columns else q.mT
