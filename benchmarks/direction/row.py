"""One figure of the table."""

from typing import NamedTuple

OURS = "scdash"


class Row(NamedTuple):
    """A figure of one predictor on one data set."""

    data: str
    measure: str
    predictor: str
    seed: int
    value: float
