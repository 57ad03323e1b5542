"""The plain neural ODE: dx/dt is a multilayer network of x (Chen et al. 2018; NODE in Aliee et al. 2022)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from scdash.fields import networks
from scdash.fields.vector_field import FIELDS, Params, RegulatoryPath, Velocity


@FIELDS.register("mlp")
@final
@dataclass(frozen=True)
class Mlp(networks.NetworkField):
    r"""dx/dt = W_L elu(... elu(W_1 x + b_1) ...) + b_L for states x (models, batch, genes), arbitrary units.

    Parameters `W1`, `b1`, ... with W (models, out, in).

    `hidden`: sizes of the hidden layers. `skip`: a linear connection `S` (models, target, regulator) as LassoNet needs
    it: "inner" adds S x to dx/dt, "outer" observes x + S x of the solution x (Aliee et al. 2022, Eqs. 7-8; their
    predictor o is the identity here). `per_target`: one network genes - hidden - 1 for every target (Bellot et al.
    2022), as group lasso needs it: `W1` (models, target, hidden, regulator), `W2` (models, target, hidden).
    """

    name: ClassVar[str] = "mlp"

    def init(self, n_models: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        """Draw weights as torch's linear layers do."""
        n = self.n_genes
        if self.per_target:
            params = networks.init_per_target(n_models, n, self.hidden[0], n, generator)
        else:
            params = networks.init_network(n_models, (n, *self.hidden, n), generator)
        if self.skip != "none":
            params["S"] = networks.uniform((n_models, n, n), 1 / math.sqrt(n), generator)
        return {name: p.to(dtype) for name, p in params.items()}

    def bind(self, params: Mapping[str, Tensor]) -> Velocity:
        """Return x -> dx/dt; see the class."""
        network = networks.bind_per_target(params) if self.per_target else networks.bind_network(params, self.depth)
        if self.skip != "inner":
            return network
        skip = params["S"].mT
        return lambda x: torch.baddbmm(network(x), x, skip)

    def paths(self) -> tuple[RegulatoryPath, ...]:
        """Return the one path through all layers."""
        return (networks.network_path(self.depth, self.skip, per_target=self.per_target),)

    def observe(self, params: Mapping[str, Tensor], state: Tensor) -> Tensor:
        """Return x, or x + S x with an outer connection."""
        return state + state @ params["S"].mT if self.skip == "outer" else state
