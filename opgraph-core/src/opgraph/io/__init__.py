"""Saving and loading: the values of variables, and whole graphs."""

from opgraph.io.decode import LoadedGraph
from opgraph.io.graphs import load_graph, save_graph
from opgraph.io.variables import Unmatched, load_variables, save_variables
from opgraph.node import above

__all__ = ["LoadedGraph", "Unmatched", "load_graph", "load_variables", "save_graph", "save_variables"]

above.save_variables = save_variables
above.load_variables = load_variables
