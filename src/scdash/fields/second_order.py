"""The second-order neural ODE with a learned initial velocity (Norcliffe et al. 2020; Aliee et al. 2022)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from scdash.fields import networks
from scdash.fields.vector_field import FIELDS, Params, RegulatoryPath, Velocity


@FIELDS.register("sonode")
@final
@dataclass(frozen=True)
class Sonode(networks.NetworkField):
    r"""d[x; v]/dt = [v; f([x; v])], v(0) = g(x(0)); the state is (models, batch, 2 genes).

    f is a network 2 genes - hidden - genes with ELU, parameters `W1`, `b1`, ...; g is one genes - hidden - genes,
    parameters `V1`, `c1`, ... The inputs of its regulatory path are the genes' positions, then their velocities, so
    that its dependency matrix is genes x 2 genes.

    `hidden`: sizes of the hidden layers of f, and of g (which has two layers of that size where f has one a target).
    `skip`, `per_target`: as for `Mlp`, with positions and velocities as inputs: `S` is (models, target, 2 genes).
    """

    name: ClassVar[str] = "sonode"

    def init(self, n_models: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        """Draw weights as torch's linear layers do."""
        n = self.n_genes
        if self.per_target:
            params = networks.init_per_target(n_models, n, self.hidden[0], 2 * n, generator)
        else:
            params = networks.init_network(n_models, (2 * n, *self.hidden, n), generator)
        params |= networks.init_network(n_models, (n, *self._start_hidden, n), generator, weight="V", bias="c")
        if self.skip != "none":
            params["S"] = networks.uniform((n_models, n, 2 * n), 1 / math.sqrt(2 * n), generator)
        return {name: p.to(dtype) for name, p in params.items()}

    def bind(self, params: Mapping[str, Tensor]) -> Velocity:
        """Return [x; v] -> [v; f([x; v])]; see the class."""
        n = self.n_genes
        network = networks.bind_per_target(params) if self.per_target else networks.bind_network(params, self.depth)
        skip = params["S"].mT if self.skip == "inner" else None

        def velocity(state: Tensor) -> Tensor:
            acceleration = network(state)
            if skip is not None:
                acceleration = torch.baddbmm(acceleration, state, skip)
            return torch.cat([state[..., n:], acceleration], dim=-1)

        return velocity

    def paths(self) -> tuple[RegulatoryPath, ...]:
        """Return the path of f; the network of the initial velocity is no regulation."""
        inputs = tuple((gene,) for gene in range(self.n_genes)) * 2
        return (networks.network_path(self.depth, self.skip, per_target=self.per_target, inputs=inputs),)

    def lift(self, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Append the initial velocity g(x)."""
        start = networks.bind_network(params, len(self._start_hidden) + 1, weight="V", bias="c")
        return torch.cat([x, start(x)], dim=-1)

    def observe(self, params: Mapping[str, Tensor], state: Tensor) -> Tensor:
        """Return positions x, or x + S [x; v] with an outer connection."""
        position = state[..., : self.n_genes]
        return position + state @ params["S"].mT if self.skip == "outer" else position

    @property
    def _start_hidden(self) -> tuple[int, ...]:
        return self.hidden * 2 if self.per_target else self.hidden
