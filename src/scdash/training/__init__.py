"""Training stacks of models: one loop that knows no method by name, and a state that is a value."""

from scdash.training.checkpoint import checkpoint_of_part, fingerprint
from scdash.training.config import Plateau, TrainConfig
from scdash.training.examples import Examples, examples_from
from scdash.training.loss import evaluate, example_errors
from scdash.training.problem import Problem, start_state
from scdash.training.settings import Training
from scdash.training.state import TrainState
from scdash.training.state_pairs import run_epoch, train
