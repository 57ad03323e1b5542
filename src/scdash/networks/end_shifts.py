"""How far the end of a trajectory moves when a gene is held, compared with the length of the trajectory."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scdash.networks.dynamics_model import DynamicsModel
from scdash.networks.interventions import intervene


class EndShift(NamedTuple):
    """The effect of holding each of some genes, (genes held,) each."""

    distance: NDArray[np.float64]  # by which the end moves, as a fraction of the length of the path
    along: NDArray[np.float64]  # the part of the path by which the end moves; negative: it falls behind


def end_shift(
    model: DynamicsModel,  # a fitted model
    states: NDArray[np.float64],  # first and last observed state, (2, genes), in the units of the data
    duration: float,  # time between them
    held_genes: NDArray[np.int64],
    levels: NDArray[np.float64],
) -> EndShift:
    r"""Hold one gene after the other from the first state on, and compare the ends with the one that nothing changes.

    With :math:`\Delta` the difference between both ends and :math:`d` the observed difference between the last and the
    first state, both in the units of the data and without the gene held, the distance is
    :math:`\lVert\Delta\rVert / \lVert d\rVert` and the part along the path :math:`\Delta \cdot d / \lVert d\rVert^2`.

    `held_genes`, `levels`: numbers of the genes, and the level at which each is held.
    """
    count, genes = len(held_genes), states.shape[1]
    held = np.zeros((count + 1, genes), dtype=bool)  # the last row is the model's own run
    held[np.arange(count), held_genes] = True
    values: NDArray[Any] = np.append(levels, 0.0)[:, None]
    ends = intervene(model, np.repeat(states[:1], count + 1, axis=0), duration, held, values)
    others = ~held[:-1]
    difference, path = (ends[:-1] - ends[-1]) * others, states[1] - states[0]
    squared_length = (others * path**2).sum(axis=1)

    def relative(values: NDArray[np.float64], unit: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.divide(values, unit, out=np.zeros(count), where=unit > 0)

    return EndShift(
        relative(np.sqrt((difference**2).sum(axis=1)), np.sqrt(squared_length)),
        relative(difference @ path, squared_length),
    )
