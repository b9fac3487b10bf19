"""Data to learn from: a small set of handwritten digits, and how to split one fairly."""

from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

import opgraph as og


def digits() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Load 1,797 handwritten digits: images (1797, 8, 8, 1) and labels (1797,).

    Returns
    -------
    images : float32 (1797, 8, 8, 1)
        Grey values in [0, 1]: the number of set pixels in each 4x4 block of a bitmap, over 16.
    labels : int64 (1797,)
        The digits 0 to 9.

    Notes
    -----
    Both arrays are new at each call. The data is the test set of *Optical Recognition of Handwritten
    Digits* by E. Alpaydin and C. Kaynak (1998), UCI Machine Learning Repository,
    https://doi.org/10.24432/C50P49, licensed under CC BY 4.0.
    """
    archive = resources.files("opgraph_vision").joinpath("data", "digits.npz")
    with archive.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        images = arrays["images"][..., np.newaxis].astype(np.float32) / np.float32(16)
        labels = arrays["labels"].astype(np.int64)
    return images, labels


def stratified_split(
    labels: Sequence[int] | NDArray[Any], fraction: float = 0.2, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split examples in two, each class in the same proportion, and shuffle both parts.

    Parameters
    ----------
    labels : (N,)
        The class of each example.
    fraction : float
        How much of each class goes to the test part, between 0 and 1. It is rounded to whole
        examples; at least one of each class falls on either side.
    seed : int
        Equal seeds give equal splits.

    Returns
    -------
    train_indices, test_indices : int64
        Which examples belong to which part; together each of ``range(N)`` once.

    Raises
    ------
    opgraph.ArgumentError
        If ``fraction`` is not between 0 and 1, if ``labels`` is not one-dimensional or is empty, or if
        a class has a single example.
    """
    if not 0 < fraction < 1:
        raise og.ArgumentError(
            f"stratified_split: fraction is {fraction!r}; give a number between 0 and 1, both excluded"
        )
    classes = np.asarray(labels)
    if classes.ndim != 1 or classes.size == 0:
        raise og.ArgumentError(
            f"stratified_split: labels have shape {classes.shape}; give one class for each example, (N,)"
        )

    rng = np.random.default_rng(seed)
    train, test = [], []
    for label in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == label))
        if members.size == 1:
            raise og.ArgumentError(
                f"stratified_split: class {label} has a single example (index {members[0]}), "
                "which cannot be on both sides; leave the class out or add to it"
            )
        tested = min(max(round(fraction * members.size), 1), members.size - 1)
        test.append(members[:tested])
        train.append(members[tested:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))
