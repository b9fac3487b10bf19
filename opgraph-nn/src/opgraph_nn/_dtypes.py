"""Dtypes in which to compute what float16 cannot hold."""

from typing import Any

import numpy as np


def at_least_float32(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return `dtype`, or float32 for float16: what statistics and optimizers' states are kept in."""
    return np.promote_types(dtype, np.float32)
