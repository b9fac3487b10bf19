"""The digits dataset and the stratified split."""

import numpy as np
import pytest

import opgraph as og
from opgraph_vision import datasets

# optdigits.names of the UCI archive, "No of examples in testing set", classes 0 to 9
PUBLISHED_COUNTS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]

# the first line of the archive's optdigits.tes: a zero
FIRST_IMAGE = [
    [0, 0, 5, 13, 9, 1, 0, 0],
    [0, 0, 13, 15, 10, 15, 5, 0],
    [0, 3, 15, 2, 0, 11, 8, 0],
    [0, 4, 12, 0, 0, 8, 8, 0],
    [0, 5, 8, 0, 0, 9, 8, 0],
    [0, 4, 11, 0, 1, 12, 7, 0],
    [0, 2, 14, 5, 10, 12, 0, 0],
    [0, 0, 6, 13, 10, 0, 0, 0],
]


def test_digits_have_the_documented_shapes_and_dtypes():
    images, labels = datasets.digits()
    assert (images.shape, images.dtype) == ((1797, 8, 8, 1), np.float32)
    assert (labels.shape, labels.dtype) == ((1797,), np.int64)


def test_digits_are_scaled_to_the_unit_interval():
    images, _ = datasets.digits()
    assert (images.min(), images.max()) == (0.0, 1.0)


def test_digits_agree_with_the_published_set():
    images, labels = datasets.digits()
    np.testing.assert_array_equal(np.bincount(labels), PUBLISHED_COUNTS)
    np.testing.assert_array_equal(images[0, :, :, 0] * 16, FIRST_IMAGE)
    assert labels[0] == 0


def test_digits_are_fresh_writable_arrays_at_each_call():
    images, labels = datasets.digits()
    images[...] = -1
    labels[...] = -1
    again, labels_again = datasets.digits()
    assert again.min() == 0
    assert labels_again.min() == 0


def test_split_holds_every_example_once():
    _, labels = datasets.digits()
    train, test = datasets.stratified_split(labels)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(1797))


def test_split_takes_the_fraction_of_every_class():
    labels = [0] * 50 + [1] * 20 + [7] * 10
    train, test = datasets.stratified_split(labels, fraction=0.3)
    counts = np.bincount(np.take(labels, test), minlength=8)
    assert (counts[0], counts[1], counts[7]) == (15, 6, 3)
    assert len(train) == 56


def test_split_is_shuffled_on_both_sides():
    labels = np.repeat([0, 1, 2], 30)
    for part in datasets.stratified_split(labels):
        assert (np.diff(part) < 0).any()
        assert (np.diff(labels[part]) < 0).any()


def test_split_is_told_by_the_seed_alone():
    labels = np.repeat([0, 1, 2], 30)
    first, again, other = (datasets.stratified_split(labels, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[1], again[1])
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[1], other[1])


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_split_leaves_a_small_class_on_both_sides(fraction):
    labels = np.array([5, 5, 9, 9, 9])
    for part in datasets.stratified_split(labels, fraction):
        assert set(labels[part]) == {5, 9}


@pytest.mark.parametrize("fraction", [0, 1, -0.2, 1.5, float("nan")])
def test_split_refuses_a_fraction_outside_the_unit_interval(fraction):
    with pytest.raises(og.ArgumentError, match="between 0 and 1") as raised:
        datasets.stratified_split([0, 0, 1, 1], fraction)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize("labels", [[], [[0, 1], [1, 0]], 3])
def test_split_refuses_labels_that_are_no_list_of_classes(labels):
    with pytest.raises(og.ArgumentError, match="labels have shape"):
        datasets.stratified_split(labels)


def test_split_refuses_a_class_with_a_single_example():
    with pytest.raises(og.ArgumentError, match=r"class 4 has a single example \(index 2\)"):
        datasets.stratified_split([1, 1, 4, 1])
