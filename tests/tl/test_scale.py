"""Genome scale: what a fit of 11,165 genes takes, in a process of its own, and that nothing genes x genes is dense."""

import json
import subprocess
import sys

import numpy as np
import pytest

import scdash

CODE = """
import json, resource, sys
import numpy as np, scdash
scdash.settings.verbosity = 0
n, way = int(sys.argv[1]), sys.argv[2]
adata = scdash.simulate.grn_dynamics(n_genes=n, n_trajectories=28, n_test=3, times=(0, 1, 2, 3, 4, 5), rng=0)
options = dict(prior=adata.uns["prior"], time_key="time", trajectory_key="trajectory", split_key="split")
options |= dict(mask_var=np.ones(n, bool), progress=False)
if way == "modules":
    options |= dict(model=scdash.models.Phoenix("modules", n_hidden=300), start="random")
    options |= dict(sparsity=scdash.sparsity.DASH(schedule=scdash.sparsity.GeometricSchedule(0.9, 1, 0.3, 2)))
    options |= dict(training=scdash.Training(max_epochs=int(sys.argv[3]), steps=1, learning_rate=1e-4))
else:
    degree = np.asarray((adata.varp["truth"] != 0).sum(1)).ravel()
    adata.var["tf"] = np.isin(np.arange(n), np.argsort(-degree, kind="stable")[: int(sys.argv[3])])
    options |= dict(regulators="tf", training=scdash.Training(max_epochs=2))
scdash.tl.fit_dynamics(adata, **options)
report = scdash.metrics.grn_report(adata, adata.uns["truth"], adata.uns["prior"])
scdash.get.grn(adata)
import matplotlib
matplotlib.use("Agg")
scdash.pl.effects(adata, show=False)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps({"peak": peak, "auprc": report["auprc"], "prevalence": report["prevalence"],
                  "edges": int(adata.varp["dynamics_grn"].nnz), "field": adata.uns["dynamics"]["params"]["field"]}))
"""


def run(*arguments: object) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    print(*arguments, found)
    return found


@pytest.mark.slow
def test_eleven_thousand_genes_with_hidden_units_stay_within_four_gigabytes() -> None:
    found = run(11165, "modules", 5)
    assert found["peak"] < 4
    assert 0 < found["edges"] <= 100 * 11165  # the strongest regulators of every target


@pytest.mark.slow
def test_eleven_thousand_genes_by_matching_stay_within_four_gigabytes() -> None:
    found = run(11165, "matching", 1600)
    assert found["peak"] < 4
    assert found["field"] == "phoenix_sparse"
    assert found["auprc"] > 20 * found["prevalence"]


def test_a_large_gene_wise_network_is_stored_and_trained_on_its_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the bound lowered, a small fit takes the path of a large one and finds a network like the usual one's."""
    from scdash.dynamics.state_pairs import regression_fits as _match
    from scdash.dynamics.state_pairs import start as _start
    from scdash.dynamics.whole_trajectories import fit as follow
    from scdash.dynamics.whole_trajectories import settings as _whole

    adata = scdash.simulate.grn_dynamics(n_genes=30, n_trajectories=20, n_test=3, rng=0)
    keys = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split", "progress": False}
    adata.var["tf"] = np.asarray((adata.varp["truth"] != 0).sum(1)).ravel() > 0
    for module in (_match, _start, _whole, follow):
        monkeypatch.setattr(module, "LISTED", 100)
    scdash.tl.fit_dynamics(
        adata, prior=adata.uns["prior"], regulators="tf", training=scdash.Training(max_epochs=2), **keys
    )
    entry = adata.uns["dynamics"]
    assert entry["params"]["field"] == "phoenix_sparse"
    assert entry["params"]["chosen"]["epochs"] in (0, 2)
    assert entry["weights"]["U_sums"].shape == (30, 30)
    network = adata.varp["dynamics_grn"]
    assert not network[~adata.var["tf"].to_numpy()].nnz
    assert scdash.metrics.auprc(adata, "truth") > 0.5
    model = scdash.get.model(adata)
    np.testing.assert_allclose(
        model(0.0, __import__("torch").as_tensor(adata.X)).detach().numpy(),
        adata.layers["dynamics_velocity"],
        atol=1e-5,
    )
    scdash.tl.gene_influence(adata, n_starts=4, progress=False)


def test_genes_without_named_regulators_are_too_many_to_match() -> None:
    adata = scdash.simulate.grn_dynamics(n_genes=4100, n_trajectories=3, n_test=1, times=(0, 1), rng=0)
    keys = {"time_key": "time", "trajectory_key": "trajectory", "split_key": "split"}
    with pytest.raises(ValueError, match="pass mask_var"):
        scdash.tl.fit_dynamics(adata, **keys)
    with pytest.raises(ValueError, match="regulators="):
        scdash.tl.fit_dynamics(adata, mask_var=np.ones(4100, bool), **keys)
    assert "dynamics" not in adata.uns
