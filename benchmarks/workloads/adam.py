"""Adam for the libraries that leave it to their users, as one writes it in NumPy."""

from collections.abc import Sequence

import numpy as np

from workloads import BETA1, BETA2, EPSILON, LEARNING_RATE


class Adam:
    """Changes parameters in place, with moments and work space that are allocated once."""

    def __init__(self, parameters: Sequence[np.ndarray]) -> None:
        self._parameters = parameters
        self._moments = [(np.zeros_like(p), np.zeros_like(p), np.empty_like(p)) for p in parameters]
        self._steps = 0

    def step(self, gradients: Sequence[np.ndarray]) -> None:
        """Take one step."""
        self._steps += 1
        rate = LEARNING_RATE / (1 - BETA1**self._steps)
        root = (1 - BETA2**self._steps) ** 0.5
        for p, g, (m, v, work) in zip(self._parameters, gradients, self._moments, strict=True):
            np.multiply(m, BETA1, out=m)
            np.multiply(g, 1 - BETA1, out=work)
            np.add(m, work, out=m)
            np.multiply(v, BETA2, out=v)
            np.multiply(work, g, out=work)
            np.multiply(work, (1 - BETA2) / (1 - BETA1), out=work)
            np.add(v, work, out=v)
            np.sqrt(v, out=work)
            np.divide(work, root, out=work)
            np.add(work, EPSILON, out=work)
            np.divide(m, work, out=work)
            np.multiply(work, rate, out=work)
            np.subtract(p, work, out=p)
