"""Adam on stacked models: torch's optimiser, with a learning rate for every model of a stack.

torch.optim has one learning rate per parameter group, and a stack needs one per model, because each model meets its own
plateaus and stops at its own epoch. So the optimiser is given the updates, which start at 0, with a rate of 1, and every
model's update is then taken at that model's own rate.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from scdash._core.threads import one_thread

BETAS, EPSILON = (0.9, 0.999), 1e-8


class StackedAdam:
    """`torch.optim.Adam` (Kingma & Ba 2015, Algorithm 1) on parameters that are changed in place.

    `masks`: weights that stay 0, as booleans, of some of the parameters; a mask broadcasts against its parameter, so
    one entry may stand for a group of weights. Masked weights and their moments must be 0 at the start: they get no
    gradient, and so stay exactly 0.
    """

    def __init__(
        self,
        params: Mapping[str, Tensor],  # tensors (models, ...)
        moments: Mapping[str, tuple[Tensor, Tensor]],  # first and second moment of every parameter, changed in place
        masks: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.params = params
        # products with booleans take eight times as long
        self._kept = {name: mask.to(params[name].dtype) for name, mask in (masks or {}).items()}
        self._updates = {name: torch.zeros_like(param) for name, param in params.items()}
        self._optimiser = torch.optim.Adam(self._updates.values(), lr=1.0, betas=BETAS, eps=EPSILON, fused=True)
        self._counts: list[Tensor] = []
        for name, update in self._updates.items():
            count = torch.zeros((), dtype=torch.float32, device=update.device)
            first, second = moments[name]
            self._optimiser.state[update] = {"step": count, "exp_avg": first, "exp_avg_sq": second}
            self._counts.append(count)

    def step(self, gradients: Mapping[str, Tensor], number: int, rates: Mapping[str, Tensor]) -> None:
        """Update parameters and moments.

        `number` is that of this step, from 1; `rates` are the learning rates of every parameter, (models,): 0 leaves a
        model as it is.
        """
        # other threads do not flush denormal numbers (see `flushed_denormals`), and decaying moments become denormal
        with torch.no_grad(), one_thread():
            for count in self._counts:
                count.fill_(number - 1)  # the optimiser counts this step itself
            for name, update in self._updates.items():
                update.grad = self._masked(name, gradients[name]) if name in gradients else None
            self._optimiser.step()
            for name in gradients:
                update = self._updates[name]
                rate = rates[name].to(update.dtype).reshape(-1, *[1] * (update.ndim - 1))
                self.params[name].addcmul_(update, rate)
                update.zero_()

    def clear(self) -> None:
        """Set what is masked to 0: other steps than this one (proximal ones) may know nothing of masks."""
        with torch.no_grad():
            for name, kept in self._kept.items():
                self.params[name].mul_(kept)

    def _masked(self, name: str, gradient: Tensor) -> Tensor:
        gradient = gradient.to(self.params[name].dtype)
        if name in self._kept:
            gradient = gradient * self._kept[name]
        return gradient.contiguous()  # the fused step reads memory in order, whatever the strides say
