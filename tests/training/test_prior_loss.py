"""The prior loss is the published one, and part of what is minimised."""

import torch

import scdash
from scdash.fields import Phoenix, csr_tensor
from scdash.training.loss import prior_loss

HOW = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}


def test_prior_loss_is_the_published_formula():
    """Mean over states and genes of |A g - g - f(g)|^2 (PHOENIX, Eq. 4; DASH C.1), one value a model."""
    generator = torch.Generator().manual_seed(0)
    field = Phoenix(5, encoder="modules", n_hidden=3)
    params = field.init(2, generator, torch.float64)
    start = torch.rand(2, 7, 5, generator=generator, dtype=torch.float64)
    signed = torch.randint(-1, 2, (5, 5), generator=generator).double()
    velocity = field.bind(params)(start)
    published = torch.stack(
        [
            torch.stack([(signed @ g - g - f).square().mean() for g, f in zip(states, moves, strict=True)]).mean()
            for states, moves in zip(start, velocity, strict=True)
        ]
    )
    torch.testing.assert_close(prior_loss(field, params, start, signed), published)
    rows, columns = signed.nonzero(as_tuple=True)
    begin = torch.cat([torch.zeros(1, dtype=torch.int64), signed.count_nonzero(1).cumsum(0)])
    sparse = csr_tensor(begin, columns, signed[rows, columns], (5, 5))
    torch.testing.assert_close(prior_loss(field, params, start, sparse), published)


def test_tau_pulls_the_velocity_towards_the_prior():
    course = scdash.simulate.grn_dynamics(n_genes=12, n_trajectories=10, n_test=2, rng=0)
    prior, genes = course.uns["prior"], course.var_names
    signed = torch.zeros(12, 12)
    signed[genes.get_indexer(prior["target"]), genes.get_indexer(prior["source"])] = torch.tensor(
        prior["weight"].to_numpy(), dtype=torch.float32
    )
    losses = {}
    for tau in (1.0, 0.5, 0.0):
        fit = scdash.tl.fit_dynamics(
            course,
            prior=course.uns["prior"],
            start="random",
            sparsity="none",
            copy=True,
            training=scdash.Training(max_epochs=8, tau=tau),
            **HOW,
        )
        model = scdash.get.model(fit)
        states = torch.as_tensor(course.X[:40], dtype=torch.float32)[None]
        losses[tau] = float(prior_loss(model.field, dict(model.weights), states, signed).detach().sum())
    assert losses[0.0] < losses[0.5] < losses[1.0]
