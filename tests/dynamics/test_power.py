"""What the report quotes of the power of the verdict."""

import pandas as pd
import pytest

from scdash.dynamics.reporting import power
from scdash.dynamics.reporting.power import Power, power_for
from scdash.dynamics.reporting.report import power_words

TABLE = pd.DataFrame(
    {
        "simulator": ["a", "b", "a"],
        "trajectories": [6, 6, 3],
        "genes": 40,
        "regulators": 12,
        "runs": [10, 30, 10],
        "found": [0.9, 0.5, 0.2],
        "mistaken": [0.1, 0.0, 0.0],
    }
)


@pytest.mark.parametrize(
    ("trajectories", "expected"),
    [
        (6, Power(0.6, 0.025, 40, 6)),
        (50, Power(0.6, 0.025, 40, 6)),
        (2, Power(0.2, 0.0, 10, 3)),
        (4, Power(0.2, 0.0, 10, 3)),
    ],
)
def test_the_simulations_of_the_nearest_size_are_quoted_all_simulators_together(monkeypatch, trajectories, expected):
    monkeypatch.setattr(power, "power_table", lambda: TABLE)
    assert power_for(trajectories) == expected


def test_nothing_is_quoted_where_nothing_was_measured(monkeypatch):
    monkeypatch.setattr(power, "power_table", lambda: TABLE[:0])
    assert power_for(4) is None


def test_the_words():
    assert power_words(Power(0.6, 0.025, 40, 6)) == (
        "in 40 simulations with 6 trajectories this test found true regulators in 60%, and took random ones for better in 2%"
    )
