import pytest

import opgraph as og


@pytest.fixture(autouse=True)
def graph():
    """Each test builds in a graph of its own."""
    with og.Graph().as_default_graph() as graph:
        yield graph


@pytest.fixture(autouse=True)
def default_dtype():
    """No test's default dtype reaches the next one."""
    before = og.get_default_dtype()
    yield
    og.set_default_dtype(before)
