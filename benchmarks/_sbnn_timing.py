"""One training, written plainly and ours, side by side; and ten folds as stacks."""

import time
from typing import Any

import joblib
import numpy as np
import torch
from torch import Tensor, nn


def timing() -> list[dict[str, Any]]:
    """Return CPU seconds of one full training (fold 0) written plainly and by `fit_networks`, on one thread."""
    from benchmarks.sbnn import load_m1, row
    from scdash.paired.stacks import fit_networks
    from scdash.resampling.folds import make_folds

    mdata = load_m1()
    x, y = mdata["rna"].X, mdata["ephys"].X
    folds = make_folds(mdata.n_obs, mdata.obs["cv_fold"].to_numpy())
    threads = torch.get_num_threads()
    rows = []
    for n_latent in (2, 64):
        torch.set_num_threads(1)
        plain, each = Plain(x.toarray(), y, folds[0], n_latent).run()
        began = time.process_time()
        fit_networks(x, y, folds[:1], n_latent=n_latent, autoencoder=False, progress=False)
        ours = time.process_time() - began
        began = time.process_time()
        fit_networks(x, y, folds[:1], n_latent=n_latent, progress=False)
        with_head = time.process_time() - began
        method = f"sbnn-{n_latent}"
        found = {"plain": plain, "ours": ours, "ours with autoencoder head": with_head}
        rows += [row("timing", method, "cpu_seconds", value, setting=name) for name, value in found.items()]
        rows += [row("timing", method, "cpu_seconds", v, setting=f"plain: {k}") for k, v in each.items()]
        rows.append(row("timing", method, "ratio", ours / plain, setting="ours to plain"))
        clock = time.process_time()
        fit_networks(x, y, folds, n_latent=n_latent, autoencoder=False, progress=False)
        rows.append(row("timing", method, "cpu_seconds", time.process_time() - clock, setting="ten folds stacked"))
        torch.set_num_threads(threads)
        with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
            joblib.Parallel()(joblib.delayed(time.sleep)(0.1) for _ in range(2))  # the processes' start is not counted
            wall = time.perf_counter()
            fit_networks(x, y, folds, n_latent=n_latent, autoencoder=False, progress=False)
            wall = time.perf_counter() - wall
        rows.append(row("timing", method, "wall_seconds", wall, setting="ten folds stacked, two processes"))
    return rows


class Plain:
    """The schedule as one would first write it: modules, autograd, one network."""

    def __init__(self, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any], fold: Any, n_latent: int) -> None:
        rows = fold.train
        self.x = torch.tensor((x - x[rows].mean(0)) / x[rows].std(0), dtype=torch.float32)[rows]
        self.y = torch.tensor((y - y[rows].mean(0)) / y[rows].std(0), dtype=torch.float32)[rows]
        torch.manual_seed(0)
        self.first = self.dense(x.shape[1], 512)
        self.second = self.dense(512, 128)
        self.rest = nn.Sequential(self.dense(128, n_latent), self.dense(n_latent, 128), nn.ELU(), self.dense(128, 512))

    @staticmethod
    def dense(inputs: int, outputs: int) -> nn.Linear:
        """Return a layer with Glorot weights."""
        layer = nn.Linear(inputs, outputs)
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer

    def network(self, readout: nn.Linear) -> nn.Sequential:
        """Return the whole chain with a readout."""
        return nn.Sequential(self.first, nn.ELU(), self.second, nn.ELU(), self.rest, nn.ELU(), readout)

    def stage(
        self, net: nn.Module, x: Tensor, target: Tensor, loss: Any, epochs: int, rate: float, lasso: float
    ) -> None:
        """Train one stage."""
        live = [parameter for parameter in net.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(live, lr=rate, eps=1e-7, weight_decay=2e-10)
        for _ in range(epochs):
            for batch in torch.randperm(len(x)).split(32):
                optimizer.zero_grad()
                value = loss(net(x[batch]), target[batch])
                if lasso:
                    value = value + lasso * self.first.weight.norm(dim=0).clamp(min=1e-12).sum()
                value.backward()
                optimizer.step()

    def run(self) -> tuple[float, dict[str, float]]:
        """Run the four stages and return CPU seconds, in all and by stage."""
        from sklearn.cluster import KMeans

        clock = [time.process_time()]
        labels = torch.tensor(KMeans(20, n_init=10, random_state=0).fit_predict(self.y.numpy())).long()
        some = torch.randperm(len(self.x))[: round(0.6 * len(self.x))]
        softmax, readout = self.dense(512, 20), self.dense(512, self.y.shape[1])
        entropy, square = nn.functional.cross_entropy, nn.functional.mse_loss
        self.stage(self.network(softmax), self.x[some], labels[some], entropy, 50, 1e-4, 0.1)
        clock.append(time.process_time())
        net = self.network(readout)
        for layer in (self.first, self.second):
            layer.requires_grad_(requires_grad=False)
        self.stage(net, self.x, self.y, square, 50, 1e-4, 0.0)
        clock.append(time.process_time())
        for layer in (self.first, self.second):
            layer.requires_grad_(requires_grad=True)
        self.stage(net, self.x, self.y, square, 50, 5e-5, 0.1)
        clock.append(time.process_time())
        kept = self.first.weight.norm(dim=0).argsort(descending=True)[:25]
        pruned = nn.Linear(25, 512)
        pruned.weight.data, pruned.bias.data = self.first.weight.data[:, kept].clone(), self.first.bias.data.clone()
        self.first = pruned
        self.stage(self.network(readout), self.x[:, kept], self.y, square, 100, 5e-5, 0.0)
        clock.append(time.process_time())
        stages = ("pre-training", "frozen", "unfrozen", "pruned")
        return clock[-1] - clock[0], dict(zip(stages, np.diff(clock).tolist(), strict=True))
