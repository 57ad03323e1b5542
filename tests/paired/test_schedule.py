"""The constants are the paper's, and nonsense is refused by name."""

from typing import Any

import pytest

from scdash.paired import BottleneckTraining, training_of


def test_defaults_are_the_papers() -> None:
    expected = {
        "hidden": [512, 128], "n_clusters": 20, "pretrain_epochs": 50, "frozen_epochs": 50, "unfrozen_epochs": 50,
        "tuning_epochs": 100, "autoencoder_epochs": 100, "pretrain_rate": 1e-4, "frozen_rate": 1e-4,
        "unfrozen_rate": 5e-5, "tuning_rate": 5e-5, "autoencoder_rate": 5e-5, "validation_fraction": 0.4,
        "start_from": "best", "n_frozen": 2, "lasso": 0.1, "l2": 1e-10, "batch_size": 32, "adam_epsilon": 1e-7,
    }  # fmt: skip
    assert BottleneckTraining().config() == expected
    assert BottleneckTraining().total_epochs == 350


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
