import pytest
from random_graphs import RandomGraph, assert_agree, seeds
from structures import ops

from opgraph.passes import GRAPH_PASSES, PLAN_PASSES


@pytest.mark.parametrize("seed", seeds())
@pytest.mark.parametrize("exact", [True, False], ids=["elementwise", "all"])
def test_graph_passes_leave_the_results_of_random_graphs_as_they_are(seed, exact):
    graph = RandomGraph(seed, exact)
    assert_agree(graph.results(), graph.results(passes=()), exact)


@pytest.mark.parametrize("seed", seeds()[::20])
@pytest.mark.parametrize("name", GRAPH_PASSES)
def test_each_pass_alone_leaves_the_results_of_random_graphs_as_they_are(seed, name):
    for exact in (True, False):
        graph = RandomGraph(seed, exact)
        assert_agree(graph.results(passes=(name,)), graph.results(passes=()), exact)


@pytest.mark.untraced
@pytest.mark.parametrize("seed", seeds())
@pytest.mark.parametrize("exact", [True, False], ids=["elementwise", "all"])
def test_blocks_and_threads_leave_the_results_of_random_graphs_as_they_are(seed, exact, monkeypatch):
    # else graphs of this size are left to one thread, and much else pays for large values alone
    monkeypatch.setattr("opgraph.passes.calls.WORTH_SHARING", 0)
    monkeypatch.setattr("opgraph.passes.bind.LARGE_PRODUCT", 0)
    monkeypatch.setattr("opgraph.passes.bind.REDUCES", 1)
    monkeypatch.setattr("opgraph.passes.order.LARGE", 0)
    graph = RandomGraph(seed, exact)
    tile = 1 + seed % 7
    alone = graph.results(tile=tile, threads=1)
    assert_agree(alone, graph.results(passes=()), exact)
    shared = graph.results(tile=tile, threads=2)
    assert [x.tobytes() for x in shared] == [x.tobytes() for x in alone]


@pytest.mark.parametrize("seed", seeds()[::20])
@pytest.mark.parametrize("name", PLAN_PASSES)
def test_each_pass_of_plans_alone_leaves_the_results_of_random_graphs_as_they_are(seed, name):
    for exact in (True, False):
        graph = RandomGraph(seed, exact)
        assert_agree(graph.results(passes=(name,), tile=3), graph.results(passes=()), exact)


def test_random_graphs_have_something_for_every_pass():
    changed = dict.fromkeys(GRAPH_PASSES, 0)
    for seed in range(20):
        graph = RandomGraph(seed, exact=False)
        plain = ops(graph.program(passes=())._executable.structure)
        for name in GRAPH_PASSES:
            changed[name] += ops(graph.program(passes=(name,))._executable.structure) != plain
    assert min(changed.values()) > 5
