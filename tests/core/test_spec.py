import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import opgraph as og

dims = st.lists(st.integers(0, 4), max_size=4)


def test_shape_prints_with_none():
    assert repr(og.Shape(None, 1, 2, 3)) == "Shape(None, 1, 2, 3)"
    assert repr(og.Shape((5,))) == "Shape(5)"


def test_shape_equals_a_plain_tuple_and_slices_to_a_shape():
    shape = og.Shape([None, 2, np.int64(3)])
    assert shape == (None, 2, 3)
    assert hash(shape) == hash((None, 2, 3))
    assert type(shape[1:]) is og.Shape
    assert shape[1:] == (2, 3)
    assert shape[0] is None
    assert type(shape + (4,)) is og.Shape  # noqa: RUF005  # the operator is what is tested
    assert (4, *shape) == (4, None, 2, 3)
    assert type((4,) + shape) is og.Shape  # noqa: RUF005  # the operator is what is tested


def test_shape_knows_its_number_of_dimensions_and_elements():
    assert og.Shape(None, 2).ndims == og.Shape(None, 2).ndim == og.Spec((None, 2), "f4").ndim == 2
    assert og.Shape(None, 2).size is None
    assert og.Shape(3, 2).size == 6
    assert og.Shape().size == 1


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((None, 2), (5, 2), True),
        ((None, 2), (5, None), True),
        ((4, 2), (5, 2), False),
        ((None,), (1, 2), False),
        ((), (), True),
    ],
)
def test_shape_is_compatible_where_one_array_could_have_both(a, b, expected):
    assert og.Shape(a).compatible_with(b) is expected
    assert og.Shape(b).compatible_with(a) is expected


@pytest.mark.parametrize("dim", [-1, 2.0, "3", True, 2**70])
def test_shape_refuses_what_is_no_size(dim):
    with pytest.raises(og.ShapeError, match="size"):
        og.Shape(dim, 2)


def test_shape_survives_pickling_and_copying():
    shape = og.Shape(None, 3)
    assert pickle.loads(pickle.dumps(shape)) == shape
    assert type(pickle.loads(pickle.dumps(shape))) is og.Shape
    assert copy.deepcopy(shape) == shape


@given(dims, dims)
def test_known_shapes_broadcast_as_in_numpy(a, b):
    try:
        expected = np.broadcast_shapes(tuple(a), tuple(b))
    except ValueError:
        with pytest.raises(og.ShapeError, match="do not broadcast"):
            og.broadcast_shapes(og.Shape(a), og.Shape(b))
    else:
        assert og.broadcast_shapes(og.Shape(a), og.Shape(b)) == expected


@given(dims, dims, st.data())
def test_unknown_sizes_broadcast_to_what_every_filling_in_agrees_with(a, b, data):
    hidden_a = [None if data.draw(st.booleans()) else n for n in a]
    hidden_b = [None if data.draw(st.booleans()) else n for n in b]
    try:
        expected = np.broadcast_shapes(tuple(a), tuple(b))
    except ValueError:
        return
    static = og.broadcast_shapes(og.Shape(hidden_a), og.Shape(hidden_b))
    assert static.compatible_with(expected)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [((None,), (1,), (None,)), ((None,), (3,), (3,)), ((None, 2), (2,), (None, 2)), ((None,), (0,), (0,))],
)
def test_an_unknown_size_stays_unknown_next_to_one_alone(a, b, expected):
    assert og.broadcast_shapes(og.Shape(a), og.Shape(b)) == expected


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("int64", "float32"), "float32"),
        (("int64", "float16"), "float16"),
        (("float32", "float64"), "float64"),
        (("int8", "uint8"), "int16"),
        (("bool", "int32"), "int32"),
        (("bool", "bool"), "bool"),
        (("float64", "complex64"), "complex128"),
    ],
)
def test_an_int_takes_the_dtype_of_a_float(dtypes, expected):
    assert og.promote_dtypes(*map(np.dtype, dtypes)) == np.dtype(expected)
    assert og.promote_dtypes(*map(np.dtype, reversed(dtypes))) == np.dtype(expected)


def test_axes_are_normalized_or_refused():
    assert og.normalize_axes((-1, 0), 3) == (0, 2)
    assert og.normalize_axes(None, 2) == (0, 1)
    assert og.normalize_axes(1, 2) == (1,)
    with pytest.raises(og.ArgumentError, match="axis 3 is out of range for 3 dimensions"):
        og.normalize_axes(3, 3)
    with pytest.raises(og.ArgumentError, match="names a dimension twice"):
        og.normalize_axes((0, -2), 2)
    with pytest.raises(og.ArgumentError, match=r"axis is an integer, not 1\.0"):
        og.normalize_axes(1.0, 2)


def test_the_default_dtype_is_float32_and_must_be_a_float():
    assert og.get_default_dtype() == np.float32
    og.set_default_dtype(np.float64)
    assert og.placeholder(()).dtype == np.float64
    with pytest.raises(og.DtypeError, match="int64 is no floating-point dtype"):
        og.set_default_dtype(np.int64)
    assert og.get_default_dtype() == np.float64


@pytest.mark.parametrize("dtype", [str, object, "datetime64[s]", "no dtype", [("a", int)]])
def test_a_dtype_of_no_numbers_is_refused(dtype):
    with pytest.raises(og.DtypeError):
        og.placeholder((2,), dtype=dtype)


def test_a_foreign_byte_order_becomes_the_machine_s():
    assert og.placeholder((2,), dtype=">f8").dtype.isnative
