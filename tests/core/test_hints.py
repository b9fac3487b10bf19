"""Whoever asks by another library's names is told what to write here."""

import concurrent.futures
import contextlib
import copy
import operator
import re

import numpy as np
import pytest

import opgraph as og
from opgraph import hints
from opgraph.errors import did_you_mean, user_source


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sum", "opgraph has no 'sum'; use og.reduce_sum"),
        ("max", "use og.reduce_max, or og.maximum(x, y) element by element"),
        ("mul", "use og.multiply"),
        ("cat", "use og.concat"),
        ("hstack", "use og.concat(xs, axis=1), or og.concat(xs, axis=0) for vectors"),
        ("layer_norm", "'layer_norm'; normalize with og.reduce_mean and og.reduce_variance"),
        ("tensor", "use og.constant"),
        ("redcue_sum", "did you mean 'reduce_sum'?"),
        ("tahn", "opgraph has no 'tahn'; did you mean 'tanh'?"),
        ("summ", "opgraph has no 'summ'; did you mean 'sum'? use og.reduce_sum"),
        ("solve", "opgraph has no 'solve'; there are no factorizations and no inverse; use NumPy outside of the graph"),
        ("linalg", "og.matmul, og.norm, og.trace, og.diag and og.outer are flat names"),
        ("cond", "og.where(condition, x, y) chooses"),
        ("Dense", "opgraph_nn.layers has Linear, BatchNorm"),
        ("Conv2d", "opgraph_vision.layers has Conv2D"),
    ],
)
def test_a_name_of_another_library_points_to_ours(name, message):
    with pytest.raises(og.UnknownOpError, match=re.escape(message)):
        getattr(og, name)


@pytest.mark.parametrize("name", ["sovle", "linlag", "kernels"])
def test_of_names_that_are_hardly_alike_none_is_meant(name):
    with pytest.raises(og.UnknownOpError, match=f"opgraph has no {name!r}$"):
        getattr(og, name)


def test_hints_name_what_there_is():
    pytest.importorskip("opgraph_vision")  # some of it is there
    said = " ".join(hints.WAYS.values())
    for name in {*hints.OPS.values(), *re.findall(r"og\.(\w+)", said)}:
        assert hasattr(og, name), name
    for name in {*hints.OPS, *hints.WAYS}:
        assert not hasattr(og, name), name


def test_of_short_names_only_close_ones_are_meant():
    assert did_you_mean("mul", ["matmul"]) == did_you_mean("min", ["sin"]) == ""
    assert did_you_mean("mulx", ["matmul", "mul"]) == "; did you mean 'mul'?"


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("squeeze", "use og.squeeze(x)"),
        ("exp", "use og.exp(x)"),
        ("detach", "use og.stop_gradient(x)"),
        ("flatten", "og.reshape(x, -1)"),
        ("numpy", "run it: og.RunTime().run(x)"),
        ("size", "use x.shape.size, which is None where a size is unknown"),
        ("sumx", "has no attribute 'sumx'; did you mean 'sum'? use og.reduce_sum(x)"),
        ("quux", "placeholder 'x' (2, 3) float32 has no attribute 'quux'\n"),
    ],
)
def test_an_attribute_of_another_library_points_to_our_function(attribute, message):
    x = og.placeholder((2, 3), name="x")
    with pytest.raises(AttributeError, match=re.escape(message)) as caught:
        getattr(x, attribute)
    assert "getattr(x, attribute)" in str(caught.value)


def test_protocols_find_no_attributes_of_a_node():
    assert not hasattr(og.placeholder(()), "__array_interface__")
    assert not hasattr(og.placeholder(()), "_repr_html_")
    with pytest.raises(AttributeError, match="call"):  # not there yet
        repr(og.Node.__new__(og.Node))


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (np.exp, "numpy.exp; use og.exp"),
        (lambda x: np.maximum(1.0, x), "numpy.maximum; use og.maximum"),
        (lambda x: np.add(x, np.ones(3)), "numpy.add; use og.add"),
        (lambda x: np.add(np.ones(3), x, where=True), "numpy.add; use og.add"),
        (np.add.reduce, "numpy.add; use og.add"),
        (np.cbrt, "numpy.cbrt; run it first"),
        (np.sum, "numpy.sum; use og.reduce_sum"),
        (np.linalg.norm, "numpy.linalg.norm; use og.norm"),
        (lambda x: operator.iadd(np.ones(3), x), "write y = array + x, not array += x"),
        (lambda x: np.ones(3) == x, "is compared by identity; og.equal(x, y) compares values"),
        (lambda x: np.array([x]), "is no array before it is run"),
        (lambda x: list(x), "cannot be iterated over; og.unstack takes it apart along an axis"),
        (lambda x: f"{x:.3f}", "has no value to format as '.3f' before it is run"),
    ],
)
def test_a_function_of_numpy_points_to_ours(use, message):
    with pytest.raises(og.DtypeError, match=re.escape(message)) as caught:
        use(og.placeholder((3,), name="x"))
    assert isinstance(caught.value, og.NoValueError)
    assert str(caught.value).startswith("placeholder 'x' (3,) float32 ")
    assert "at test_hints.py" in str(caught.value)


def test_a_list_that_holds_a_node_points_to_stack():
    x, y = og.placeholder((3,), name="x"), og.constant(2.0)
    for use in (lambda: x * [1.0, y, 3.0], lambda: og.constant((y, 1.0)), lambda: x({x: [y, y, y]})):
        with pytest.raises(og.NoValueError, match="a (list|tuple) that holds a node .* og.stack") as caught:
            use()
        assert "at test_hints.py" in str(caught.value)


def test_a_node_is_formatted_as_it_is_shown():
    x = og.placeholder((3,), name="x")
    assert f"{x}" == "<placeholder 'x' (3,) float32>"


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda i: i << 1, r"placeholder 'i' \(2,\) int64 has no bits to shift; x \* 2\*\*n"),
        (lambda i: 1 >> i, "has no bits to shift"),
        (lambda i: i.at[0] + 1, r"x.at\[key\] has no value; x\[key\] is what stands there"),
        (lambda i: 2.0 * i.at[0], r"x.at\[key\] has no value"),
    ],
)
def test_an_operator_that_there_is_not_says_what_there_is(use, message):
    with pytest.raises(TypeError, match=message) as caught:
        use(og.placeholder((2,), np.int64, name="i"))
    assert isinstance(caught.value, og.DtypeError)
    assert "at test_hints.py" in str(caught.value)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda x: x.at[0].mul(2),
            r"x.at\[key\] has no 'mul', but set and add alone; x.at\[key\].set\(x\[key\] \* y\)",
        ),
        (lambda x: x.at.set(2), r"x.at has no 'set' without a key; write x.at\[key\].set\(value\)"),
    ],
)
def test_places_offer_what_there_is(use, message):
    with pytest.raises(AttributeError, match=message) as caught:
        use(og.placeholder((3,)))
    assert "at test_hints.py" in str(caught.value)


def test_places_have_no_protocols():
    x = og.placeholder((3,))
    assert not hasattr(x.at, "__array__")
    assert not hasattr(x.at[0], "__array__")


@pytest.mark.parametrize("left", [np.array([3.0, 2.0, 5.0], np.float32), np.float32(3.0)])
@pytest.mark.parametrize("symbol", ["add", "sub", "mul", "truediv", "pow", "floordiv", "mod", "lt", "le", "gt", "ge"])
def test_an_operator_with_an_array_on_its_left_makes_a_node(left, symbol):
    x = og.placeholder((3,), name="x")
    right = np.array([1.0, 2.0, 3.0], np.float32)
    operation = getattr(operator, symbol)
    y = operation(left, x)
    assert isinstance(y, og.Node)
    np.testing.assert_allclose(y({x: right}), operation(left, right), rtol=1e-6)


def test_logical_operators_and_matmul_with_an_array_on_their_left_make_nodes():
    b = og.placeholder((3,), dtype=bool)
    left, right = np.array([True, True, False]), np.array([True, False, False])
    for operation in (operator.and_, operator.or_, operator.xor):
        np.testing.assert_array_equal(operation(left, b)({b: right}), operation(left, right))
    m = og.placeholder((2, 3))
    array = np.arange(4.0, dtype=np.float32).reshape(2, 2)
    np.testing.assert_array_equal((array @ m)({m: np.ones((2, 3))}), array @ np.ones((2, 3)))


def test_an_unsupported_use_is_a_type_error_that_says_where():
    x = og.placeholder((2,), name="x")
    for use in (bool, len, list, float, copy.copy, lambda x: operator.setitem(x, 0, 1.0)):
        with pytest.raises(TypeError) as caught:
            use(x)
        assert str(caught.value).startswith("placeholder 'x' (2,) float32 ")
        assert "at test_hints.py" in str(caught.value)


def test_the_user_s_line_is_not_the_standard_library_s():
    @contextlib.contextmanager
    def bad():
        yield og.placeholder((2,)) + og.placeholder((3,))

    x = og.placeholder((2,))
    with concurrent.futures.ThreadPoolExecutor(1) as pool, pytest.raises(og.ShapeError) as caught:
        pool.submit(og.add, x, np.ones(3)).result()  # no frame of that thread is the user's
    assert " at " not in str(caught.value)
    with pytest.raises(og.DtypeError, match=r"at test_hints\.py:.*copy\.deepcopy"):
        copy.deepcopy(og.placeholder((2,)))
    with pytest.raises(og.ShapeError, match="at test_hints.py"), bad():
        pass


def test_a_user_s_file_may_have_a_name_of_the_standard_library():
    scope = {"__name__": "random", "user_source": user_source}
    exec(compile("source = user_source()", "/home/me/random.py", "exec"), scope)
    assert str(scope["source"]) == "at random.py:1"
