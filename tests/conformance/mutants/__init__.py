"""Planted bugs: ops that differ from right ones in one place, each after a real bug report.

Each class says the check that must catch it (`caught_by`) and the report it was taken from (`source`); its
docstring says in one sentence what went wrong there. References, samples and declarations are those of an
honest author: only one thing is wrong. The bugs were written before the checks, and without a look at them.
"""

import importlib
import pkgutil

import opgraph as og


def all_mutants() -> list[type[og.Op]]:
    """Return the op classes with a planted bug, in the order of their modules' names."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    return [
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__ and "caught_by" in vars(value)
    ]
