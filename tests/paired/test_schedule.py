"""The constants are the paper's, and nonsense is refused by name."""

from typing import Any

import numpy as np
import pytest

from scdash.paired.schedule import BottleneckTraining, training_of


def test_defaults_are_the_papers() -> None:
    expected = {
        "hidden": [512, 128], "n_clusters": 20, "pretrain_epochs": 50, "frozen_epochs": 50, "unfrozen_epochs": 50,
        "tuning_epochs": 100, "autoencoder_epochs": 100, "pretrain_rate": 1e-4, "frozen_rate": 1e-4,
        "unfrozen_rate": 5e-5, "tuning_rate": 5e-5, "autoencoder_rate": 5e-5, "validation_fraction": 0.4,
        "start_from": "best", "n_frozen": 2, "lasso": 0.1, "l2": 1e-10, "batch_size": 32, "adam_epsilon": 1e-7,
    }  # fmt: skip
    for cells in (1091, 1213, 100_000):  # a fold of the paper, all of its cells, and more
        assert BottleneckTraining().for_cells(cells).config() == expected
    assert BottleneckTraining().for_cells(1091).total_epochs == 350


@pytest.mark.parametrize("cells", [4, 32, 72, 200, 1000])
def test_few_cells_have_as_many_updates_before_pruning_as_the_papers(cells: int) -> None:
    """Passes are made up for where a pass has few batches; those after pruning, and those that are given, are not."""
    few = BottleneckTraining(frozen_epochs=7).for_cells(cells)
    batches = -(-cells // 32)
    for epochs in (few.pretrain_epochs, few.unfrozen_epochs):
        assert epochs is not None and 35 * 50 <= epochs * batches < 35 * 50 + batches
    assert (few.frozen_epochs, few.tuning_epochs, few.autoencoder_epochs) == (7, 100, 100)
    assert few.for_cells(1091) == few
    assert few.lasso == pytest.approx(0.1 * np.sqrt(1091 / cells))
    assert BottleneckTraining(lasso=0.3).for_cells(cells).lasso == 0.3


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": (5,)}, {"hidden": (0, 4)}, {"n_clusters": 0}, {"tuning_epochs": 0}, {"batch_size": 0},
        {"frozen_epochs": -1}, {"pretrain_rate": 0.0}, {"lasso": -0.1}, {"validation_fraction": 1.0}, {"n_frozen": 4},
        {"start_from": "first"},
    ],
)  # fmt: skip
def test_nonsense_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        BottleneckTraining(**options)


def test_only_a_value_is_taken() -> None:
    with pytest.raises(TypeError, match="training must be a scdash.BottleneckTraining, found"):
        training_of({"tuning_epochs": 3})
    assert training_of(None) == BottleneckTraining()
