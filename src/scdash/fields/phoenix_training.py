"""PHOENIX with its derivative written out, as training uses it; `Phoenix.bind` is the same function for autograd."""

from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor

from scdash.fields.compiled_solve import CompiledSolve
from scdash.fields.evaluator import Evaluator, Record, summed
from scdash.fields.fused import activated, through_activations, through_rate
from scdash.fields.hill import hill_slope, hill_sums
from scdash.fields.vector_field import Params

HEAVY = 1_000_000  # weights
CACHED = 2**16  # weights of a matrix that stay in a core's cache with the rest: up to there compiled solves are faster


class Modules(Evaluator[Record]):
    """relu(v) (U_S c_S + U_P c_P - x), c_S = W_S phi_S + b_S, c_P = exp(W_P log(1 + phi_S) + b_P)."""

    def __init__(self, params: Mapping[str, Tensor]) -> None:
        self.params = {name: value.detach() for name, value in params.items()}

    @cached_property
    def rate(self) -> Tensor:
        """relu(v), (models, 1, genes)."""
        return self.params["v"].relu()[:, None]

    @cached_property
    def u(self) -> Tensor:
        """Both decoders: one wide product is faster than two."""
        return torch.cat([self.params["U_sums"], self.params["U_prods"]], dim=2)

    def compiled(self, x0: Tensor) -> CompiledSolve | None:
        """Return the compiled solver, where it takes these states."""
        if x0.device.type != "cpu" or x0.dtype != torch.float32 or self.params["U_sums"][0].numel() > CACHED:
            return None
        from scdash.fields.modules_loops import CompiledModules

        return CompiledModules(self.params)

    def forward(self, x: Tensor) -> tuple[Tensor, Record]:
        """Return dx/dt and what the derivative needs."""
        p, phi = self.params, activated(x)
        log = phi.log1p()
        sums = torch.baddbmm(p["b_sums"][:, None], phi, p["W_sums"].mT)
        prods = torch.baddbmm(p["b_prods"][:, None], log, p["W_prods"].mT).exp_()
        hidden = torch.cat([sums, prods], dim=2)
        production = torch.baddbmm(x, hidden, self.u.mT, beta=-1)
        return self.rate * production, (phi, log, hidden, production)

    def backward(self, saved: Record, gradient: Tensor, *, wanted: bool) -> tuple[Tensor | None, Record]:
        """Return the derivative with respect to the states, and the factors of that with respect to the weights."""
        phi, log, hidden, production = saved
        of_production, of_rate = through_rate(gradient, self.rate, production)
        of_sums, of_prods = torch.bmm(of_production, self.u).chunk(2, dim=2)
        of_prods = of_prods * hidden.chunk(2, dim=2)[1]  # the derivative of exp is exp
        factors = (phi, log, hidden, of_sums, of_prods, of_production, of_rate)
        if not wanted:
            return None, factors
        sums, prods = torch.bmm(of_sums, self.params["W_sums"]), torch.bmm(of_prods, self.params["W_prods"])
        return through_activations(phi, sums, prods, of_production), factors

    def collect(self, factors: list[Record]) -> Params:
        """Return the derivative with respect to the weights, summed over evaluations."""
        alive = self.rate[:, 0] > 0
        return summed(lambda record: gradients_of(record, alive), factors, heavy=self.u.numel() > HEAVY)


def gradients_of(factors: Record, alive: Tensor) -> Params:
    """Return the gradients of the weights of `Modules` from the factors of some examples, (models, examples, ...).

    `alive` says which genes have a positive v, (models, genes).
    """
    phi, log, hidden, of_sums, of_prods, of_production, of_rate = factors
    u_sums, u_prods = torch.bmm(of_production.mT, hidden).chunk(2, dim=2)
    return {
        "W_sums": torch.bmm(of_sums.mT, phi),
        "W_prods": torch.bmm(of_prods.mT, log),
        "b_sums": of_sums.sum(1),
        "b_prods": of_prods.sum(1),
        "U_sums": u_sums,
        "U_prods": u_prods,
        "v": of_rate.sum(1) * alive,
    }


class Genes(Evaluator[Record]):
    """relu(v) (U_S phi + U_P [phi_a phi_b] + bias - x), U_P only with pairs (a, b)."""

    def __init__(self, params: Mapping[str, Tensor], pairs: tuple[tuple[int, int], ...]) -> None:
        p = {name: value.detach() for name, value in params.items()}
        self.u_sums, self.u_prods, self.bias = p["U_sums"], p.get("U_prods"), p["bias"][:, None]
        self.alive, self.rate = p["v"] > 0, p["v"].relu()[:, None]
        self.first, self.second = torch.tensor(pairs, device=self.bias.device).reshape(-1, 2).T

    def forward(self, x: Tensor) -> tuple[Tensor, Record]:
        """Return dx/dt and what the derivative needs."""
        phi = hill_sums(x)
        production = torch.baddbmm(self.bias - x, phi, self.u_sums.mT)
        if self.u_prods is not None:
            production.baddbmm_(phi[..., self.first] * phi[..., self.second], self.u_prods.mT)
        return self.rate * production, (phi, production)

    def backward(self, saved: Record, gradient: Tensor, *, wanted: bool) -> tuple[Tensor | None, Record]:
        """Return the derivative with respect to the states, and the factors of that with respect to the weights."""
        phi, production = saved
        of_production = gradient * self.rate
        factors = (phi, of_production, gradient * production)
        if not wanted:
            return None, factors
        of_phi = torch.bmm(of_production, self.u_sums)
        if self.u_prods is not None:
            of_pairs = torch.bmm(of_production, self.u_prods)
            of_phi.index_add_(2, self.first, of_pairs * phi[..., self.second])
            of_phi.index_add_(2, self.second, of_pairs * phi[..., self.first])
        return of_phi.mul_(hill_slope(phi)).sub_(of_production), factors

    def collect(self, factors: list[Record]) -> Params:
        """Return the derivative with respect to the weights, summed over evaluations."""
        return summed(self._collect, factors, heavy=self.u_sums.numel() > HEAVY)

    def _collect(self, factors: Record) -> Params:
        phi, of_production, of_rate = factors
        found = {"U_sums": torch.bmm(of_production.mT, phi)}
        if self.u_prods is not None:
            found["U_prods"] = torch.bmm(of_production.mT, phi[..., self.first] * phi[..., self.second])
        return found | {"bias": of_production.sum(1), "v": of_rate.sum(1) * self.alive}
