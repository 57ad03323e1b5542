"""What makes two runs the same run: a checkpoint of another one must not be continued."""

import hashlib

from scdash.training.problem import Problem
from scdash.training.state import TrainState


def fingerprint(problem: Problem, state: TrainState) -> str:
    """Return a digest of data, model, method, settings, seed and start; `max_epochs` may differ (to train on)."""
    digest = hashlib.sha256()
    config = {
        k: v for k, v in vars(problem.config).items() if k not in ("max_epochs", "checkpoint_every", "max_memory")
    }
    described = (problem.field.name, problem.field.config(), problem.sparsity.config(), config, problem.seed)
    digest.update(repr((*described, problem.returnable_from)).encode())
    for examples in (problem.train, problem.validation):
        for tensor in (examples.start, examples.times, examples.targets):
            digest.update(tensor.cpu().numpy().tobytes())
    for name in sorted(state.params):
        digest.update(name.encode() + state.params[name].cpu().numpy().tobytes())
    return digest.hexdigest()
