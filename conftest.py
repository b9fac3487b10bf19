"""Run the Python blocks of README and the documentation as tests, and long tests without tracing."""

import sys
from contextlib import ExitStack, chdir
from tempfile import TemporaryDirectory

import pytest
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

pytest_plugins = ["pytester"]


def enter_fresh_graph(namespace):
    """Give each document a graph and a directory of its own, so that none depends on what another one left."""
    import opgraph as og  # not at the top: the tests that need no installed package load this file too

    namespace["_exit"] = stack = ExitStack()
    stack.enter_context(og.Graph().as_default_graph())
    stack.enter_context(chdir(stack.enter_context(TemporaryDirectory())))


def leave_graph(namespace):
    namespace["_exit"].close()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "opgraph-*/README.md", "docs/*.md"],
    setup=enter_fresh_graph,
    teardown=leave_graph,
).pytest()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Measure no coverage in tests that are marked so."""
    # pytest-cov's own mark starts coverage anew after each, and that wraps os._exit once more each time
    tracer = sys.gettrace()
    if item.get_closest_marker("untraced") is None or tracer is None:
        return (yield)
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)
