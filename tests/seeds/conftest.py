import pytest

import opgraph as og


@pytest.fixture(autouse=True)
def graph():
    """Each program builds in a graph of its own."""
    with og.Graph().as_default_graph() as graph:
        yield graph
