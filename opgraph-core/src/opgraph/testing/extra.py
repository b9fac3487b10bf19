"""What the kit needs beyond the core: the extra ``opgraph-core[testing]``."""

import opgraph as og


class MissingExtraError(og.OpgraphError, ImportError):
    """A part of the conformance kit needs a package that is not installed."""


def missing(what: str, error: ImportError) -> MissingExtraError:
    """Return the error to raise where `what` needs a package that cannot be imported."""
    return MissingExtraError(f'{what} needs {error.name}: pip install "opgraph-core[testing]"')
