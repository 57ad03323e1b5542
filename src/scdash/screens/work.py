"""What a fit of a screen takes, for the bar of the whole call: the names of its parts, and what a piece of each costs.

The unit is one setting that is tried; measured on screens of 500 and 1,000 genes.
"""

READING, CHOOSING, TRANSPORT = "reading the screen", "choosing settings", "transport"
VALIDATING, NETWORK, WRITING = "predicting what was held out", "the network", "writing the fit"
COSTS = {READING: 0.4, CHOOSING: 1.0, VALIDATING: 1.4, NETWORK: 0.7, WRITING: 0.8}
LATER = 6.0  # of everything after reading, until it is known
STEPS = 12.0  # of all steps of transport together


def regression_work(settings: int) -> dict[str, tuple[int, float]]:
    """Return what is left of a regression with some settings to try."""
    parts = {CHOOSING: settings, VALIDATING: 1, NETWORK: 1, WRITING: 1}
    return {name: (number, COSTS[name]) for name, number in parts.items()}


def transport_work(steps: int) -> dict[str, tuple[int, float]]:
    """Return what is left of a fit by transport with some steps to take."""
    return {TRANSPORT: (steps, STEPS / max(steps, 1)), WRITING: (1, COSTS[WRITING])}
