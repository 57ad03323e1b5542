"""The benchmarks of asv run on what the package is today: nothing else calls them."""

import pytest

pytest.importorskip("torch")

from benchmarks.asv.suite import hot_paths

SUITES = [hot_paths.Epoch, hot_paths.Prune, hot_paths.Path_, hot_paths.Streaming]  # not the network of 11,165 genes


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.__name__)
def test_the_first_parameters_of_every_benchmark_run(suite: type) -> None:
    axes = suite.params if isinstance(suite.params[0], list) else [suite.params]
    first = [axis[0] for axis in axes]
    assert len(suite.param_names) == len(first)
    bench = suite()
    bench.setup(*first)
    for name in [name for name in dir(bench) if name.startswith("time_")]:
        getattr(bench, name)(*first)
    if hasattr(bench, "teardown"):
        bench.teardown(*first)
