"""Functions of arrays: what a trace depends on, what it keeps, what it shares with others, and its gradients."""

import gc
import threading
import weakref
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pytest

import opgraph as og

A = np.arange(6.0).reshape(2, 3)


class Counted:
    """A function with the number of times that it was called in Python."""

    def __init__(self, f):
        self.f = f
        self.calls = 0
        self.__name__ = "counted"

    def __call__(self, *args, **kwargs):
        self.calls += 1
        return self.f(*args, **kwargs)


def test_a_function_gives_what_numpy_gives():
    @og.function
    def f(x, y):
        return og.tanh(x @ y.T) + 1.0

    for data in (A, A + 1, A[:1]):
        found = f(data, A)
        assert type(found) is np.ndarray
        np.testing.assert_allclose(found, np.tanh(data @ A.T) + 1.0, rtol=1e-12)


def test_it_is_traced_once_for_each_shape_and_dtype():
    counted = Counted(lambda x: x * 2.0)
    f = og.function(counted)
    for data in (A, A + 1, A[:1], A.astype(np.float32), A[:1], A):
        found = f(data)
        np.testing.assert_array_equal(found, data * 2)
        assert found.dtype == data.dtype
    assert counted.calls == 3
    assert f.cache_info() == (3, 3, 64, 3)
    f.clear_cache()
    f(A)
    assert f.cache_info() == (0, 1, 64, 1)


def test_traces_are_bounded_and_those_used_last_stay(monkeypatch):
    monkeypatch.setattr("opgraph.tracing.TRACES_KEPT", 4)
    counted = Counted(lambda x: x + 1.0)
    f = og.function(counted)
    for n in range(10):
        f(np.zeros(n))
        f(np.zeros((2, 2)))
    assert f.cache_info().currsize == 4
    assert counted.calls == 11


class Point(NamedTuple):
    x: object
    y: object


def test_arguments_and_results_may_be_nested():
    @og.function
    def f(pair, table, point):
        a, [b, nothing] = pair
        assert nothing is None
        return {"sum": a + b, "list": [table["w"] * 2.0, None], "point": Point(point.y, point.x)}

    found = f((A, [A, None]), {"w": A}, Point(A, A + 1))
    assert list(found) == ["sum", "list", "point"]
    np.testing.assert_array_equal(found["sum"], A + A)
    np.testing.assert_array_equal(found["list"][0], A * 2)
    assert found["list"][1] is None
    assert type(found["point"]) is Point
    np.testing.assert_array_equal(found["point"].x, A + 1)


def test_nests_of_other_structure_are_traced_anew():
    @og.function
    def f(xs):
        return sum(xs.values() if isinstance(xs, dict) else xs)

    assert f([A[0], A[1]]).tolist() == f((A[0], A[1])).tolist() == f({"a": A[0], "b": A[1]}).tolist() == [3, 5, 7]
    assert f({"b": A[0], "c": A[1]}).tolist() == [3, 5, 7]
    assert f.cache_info().misses == 4


@pytest.mark.parametrize("result", [None, (), [], {}, {"a": ()}])
def test_a_function_may_return_nothing(result):
    assert og.function(lambda x: result)(A) == result


def test_results_that_are_no_nodes_are_arrays():
    found = og.function(lambda x: (1.5, np.arange(3), x.shape[0], A))(A)
    assert [each.dtype for each in found] == [np.float32, np.int64, np.float32, np.float64]
    assert found[0] == 1.5
    np.testing.assert_array_equal(found[3], A)


def test_results_are_arrays_of_the_caller_s_own():
    f = og.function(lambda x: (x, x, x.T))
    given = A.copy()
    first, second, third = f(given)
    for array in (first, second, third):
        assert array.flags.writeable
        array[...] = -1.0
    np.testing.assert_array_equal(given, A)
    np.testing.assert_array_equal(f(given)[1], A)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_numbers_take_the_dtype_of_what_they_meet_and_are_not_traced_for(dtype):
    counted = Counted(lambda x, s: x * s)
    f = og.function(counted)
    for s in (0.1, 2.5, -3.25):
        found = f(A.astype(dtype), s)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, A.astype(dtype) * s)
    assert counted.calls == 1


@pytest.mark.parametrize(
    ("x", "s", "dtype"),
    [
        (np.arange(3), 2, np.int64),
        (np.arange(3), 2.5, np.float32),
        (np.arange(3, dtype=np.int8), 2, np.int8),
        (np.ones(3, np.float32), 2, np.float32),
        (np.ones(3, np.float32), True, np.float32),
        (np.ones(3, np.float32), 2j, np.complex64),
        (np.ones(3, np.float32), np.float64(2.5), np.float64),
        (2.0, 3.0, np.float32),
        (2, 3, np.float32),
    ],
)
def test_numbers_promote_as_they_do_beside_nodes(x, s, dtype):
    assert og.function(lambda x, s: x * s)(x, s).dtype == dtype
    written = og.constant(x) * s if isinstance(x, np.ndarray) else og.multiply(x, s)
    assert og.RunTime().run(written).dtype == dtype
    np.testing.assert_allclose(og.function(lambda x, s: x * s)(x, s), np.multiply(x, s))


@pytest.mark.parametrize(
    "f",
    [
        lambda x, s: x * (1 - s),
        lambda x, s: x * (-s) ** 3 / 7,
        lambda x, s: x * og.exp(s * 2),
        lambda x, s: x * og.where(s > 0.5, s, 1 / (s + 2)),
        lambda x, s: og.concat([x[0], og.reshape(s / 3, (1,))]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_is_computed_of_numbers_is_as_exact_as_in_python(f, dtype):
    x, s = np.arange(1, 7).reshape(2, 3).astype(dtype), 0.1
    found = og.function(f)(x, s)
    assert found.dtype == dtype
    p = og.placeholder((), np.float64)
    wide = og.RunTime().run(f(og.constant(x.astype(np.float64)), p), {p: s})
    np.testing.assert_allclose(found, wide, rtol=2 * np.finfo(dtype).eps)


def test_the_gradient_by_a_number_is_exact():
    value, slope = og.value_and_grad(lambda s, x: og.reduce_sum(x * (1 - s) ** 2))(0.1, np.ones(3))
    np.testing.assert_allclose(value, 3 * 0.81, rtol=1e-15)
    np.testing.assert_allclose(slope, -6 * 0.9, rtol=1e-15)


def test_a_number_that_is_returned_is_of_the_default_float():
    assert og.function(lambda s: (s, s + 1, s > 0))(3)[0].dtype == np.float32
    assert [x.dtype for x in og.function(lambda s: (s, s + 1, s > 0))(3)] == [np.float32, np.float32, bool]


def test_a_number_that_is_cast_has_that_dtype():
    f = og.function(lambda x, s: x * og.cast(s, np.float64))
    assert f(np.ones(2, np.float32), 2.0).dtype == np.float64


@pytest.mark.parametrize(
    ("dtype", "fits", "number"),
    [(np.int8, 100, 300), (np.uint8, 200, -1), (np.int32, 1, 1 << 40), (np.float16, 6e4, 7e4), (np.float32, 2, 1e300)],
)
def test_a_number_out_of_the_range_of_what_it_meets_is_refused_as_where_it_is_written(dtype, fits, number):
    x = np.ones(3, dtype)
    with pytest.raises(og.DtypeError, match="out of the range"):
        og.constant(x) * number
    traced = og.function(lambda x, scale: og.checkpoint(lambda y: y * scale)(x))
    np.testing.assert_allclose(traced(x, fits), np.full(3, fits, dtype))
    for _ in range(2):
        with pytest.raises(og.DtypeError, match=f"argument scale of .* is out of the range of {x.dtype}"):
            traced(x, number)
    np.testing.assert_allclose(traced(x, fits), np.full(3, fits, dtype))


@pytest.mark.parametrize("returned", [True, False])
def test_a_number_out_of_range_is_refused_in_updates_too(graph, returned):
    v = og.Variable(np.int8(0), dtype=np.int8, name="v")

    @og.function
    def f(x, n):
        y = x * 1.0
        graph.add_update(v, v + n, when=y)
        return y if returned else x

    f(A, 3)
    with pytest.raises(og.DtypeError, match=r"argument n of f: 300 is out of the range of int8"):
        f(A, 300)
    assert v.val == 3


def test_what_is_computed_of_numbers_is_refused_where_it_is_out_of_the_range_of_what_it_meets():
    @og.function
    def f(x, n):
        return x + n * 2

    x = np.ones(2, np.int8)
    for _ in range(2):
        assert f(x, 50).tolist() == [101, 101]
        with pytest.raises(og.DtypeError, match=r"multiply .* in f: 200 is out of the range of int8\n.*x \+ n \* 2"):
            f(x, 100)
    assert f(np.ones(2), 100).tolist() == [201.0, 201.0]
    scaled = og.function(lambda x, n: x * (n**2))
    with pytest.raises(og.DtypeError, match="out of the range of float16"):
        scaled(np.ones(2, np.float16), 300.0)


def test_functions_of_a_number_alone_are_of_the_default_float():
    assert og.function(og.exp)(1.0).dtype == np.float32
    og.set_default_dtype(np.float64)
    found = og.function(og.exp)(0.1)
    assert (found.dtype, found) == (np.float64, np.exp(0.1))


def test_another_default_float_is_another_trace():
    f = og.function(lambda x: x * og.constant(1.5))
    x = np.arange(3)
    assert f(x).dtype == np.float32
    og.set_default_dtype(np.float64)
    assert f(x).dtype == np.float64


def test_keyword_arguments_are_values():
    counted = Counted(lambda x, *, power=1, negate=False: -(x**power) if negate else x**power)
    f = og.function(counted)
    np.testing.assert_array_equal(f(A, power=2), A**2)
    np.testing.assert_array_equal(f(A, power=3), A**3)
    np.testing.assert_array_equal(f(A, negate=True, power=2), -(A**2))
    np.testing.assert_array_equal(f(A, power=2, negate=True), -(A**2))
    assert counted.calls == 3


@dataclass(frozen=True)
class Settings:
    n: object


@dataclass(frozen=True)
class Listed:
    """Something hashable that holds what is not."""

    n: list = field(hash=False)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        (np.float64(2.0), 2.0),
        (np.float32(0.0), np.float32(-0.0)),
        ((2.0,), (np.float64(2.0),)),
        (Settings(2), Settings(2.0)),
        (Settings((0.0,)), Settings((-0.0,))),
        (frozenset([1]), frozenset([1.0])),
        (Listed([1]), Listed([2])),
    ],
)
def test_keyword_arguments_differ_by_type_and_bits(one, other):
    f = og.function(lambda x, *, s: x + np.array([repr(s) == repr(one)]))
    assert f(A[0], s=one).tolist() == [1, 2, 3]
    assert f(A[0], s=other).tolist() == [0, 1, 2]


@pytest.mark.parametrize("make", [lambda: 2.0, lambda: np.float64("nan"), lambda: Settings((float("nan"), 1))])
def test_keyword_arguments_of_the_same_type_and_bits_are_the_same(make):
    f = og.function(lambda x, *, s: x * 2.0)
    f(A, s=make())
    f(A, s=make())
    assert f.cache_info()[:2] == (1, 1)


def test_a_number_of_numpy_by_keyword_keeps_its_dtype():
    f = og.function(lambda x, *, k: x * k)
    x = np.ones(3, np.float32)
    found = [f(x, k=k).dtype for k in (2.0, np.float64(2.0), 2.0)]
    assert found == [np.float32, np.float64, np.float32]


def test_an_array_by_keyword_is_refused():
    @og.function
    def f(x, w=None):
        return x

    with pytest.raises(
        og.ArgumentError, match=r"f: .* w is a ndarray, which is not hashable; pass it by position\n.*w=A"
    ):
        f(A, w=A)


def test_an_argument_that_is_no_array_is_refused():
    @og.function
    def f(x, *rest):
        return x

    with pytest.raises(og.DtypeError, match=r"argument rest\[1\]\['name'\] of f: .*not strings: 'text'\n.*f\(A, 1.0"):
        f(A, 1.0, {"name": "text"})


def test_a_wrong_call_shows_the_signature():
    @og.function
    def f(x, y, *, z=1):
        return x

    with pytest.raises(og.ArgumentError, match=r"f: missing a required argument: 'y'\n  f\(x, y, \*, z=1\)"):
        f(A)
    with pytest.raises(og.ArgumentError, match="unexpected keyword argument 'zz'"):
        f(A, A, zz=1)

    with pytest.raises(og.ArgumentError, match="f: too many positional arguments"):
        f(A, A, "text")
    with pytest.raises(og.ArgumentError, match="too many positional arguments"):
        og.function(lambda: og.constant(1.0))(A)


def test_a_function_that_does_not_tell_its_signature_is_called_all_the_same():
    with pytest.raises(og.NoValueError, match="greater 'max/greater' .* in the traced function 'max'"):
        og.function(max)(1.0, 2.0)


def test_variables_are_read_and_updates_fire_in_every_call(graph):
    w, count = og.Variable(np.ones(3), name="w"), og.Variable(np.array(0), name="count")

    @og.function
    def step(x):
        y = x * w
        graph.add_update(count, count + 1, when=y)
        graph.add_update(w, w * 2.0, when=y)
        return y

    assert [step(np.ones(3))[0] for _ in range(3)] == [1, 2, 4]
    assert count.val == 3
    w.set_val(np.full(3, 0.5))
    assert step(np.ones(3)).tolist() == [0.5] * 3


def test_updates_fire_whether_what_they_were_added_to_is_returned_or_not(graph):
    w = og.Variable(np.ones(3), name="w")

    @og.function
    def step(x):
        loss = og.reduce_sum(og.square(x * w))
        graph.add_update(w, w - 0.1 * og.grad(loss, w), when=loss)

    assert step(np.ones(3)) is None
    np.testing.assert_allclose(w.val, 0.8)


def test_an_update_with_a_node_that_the_function_did_not_make_is_refused(graph):
    count = og.Variable(np.array(0.0), name="count")
    outer = count * 1.0

    @og.function
    def f(x):
        graph.add_update(count, count + 1.0, when=outer)
        return outer + x

    for _ in range(2):
        with pytest.raises(og.GraphError, match=r"when=multiply .* was made before the function .*\n.*when=outer"):
            f(A)
    assert og.RunTime().run(outer) == 0.0
    assert count.val == 0.0


def test_a_function_leaves_updates_of_others_alone(graph):
    w = og.Variable(np.array(0.0), name="w")
    outside = w + 1.0
    graph.add_update(w, w + 1.0, when=outside)
    og.function(lambda x: x * w)(A)
    assert w.val == 0.0
    og.function(lambda x: x * outside)(A)
    assert w.val == 1.0


def test_random_numbers_are_new_in_each_call_and_repeat_with_the_seed():
    def noise(x):
        return x + og.random_normal((3,))

    first, second = og.function(noise, runtime=og.RunTime(seed=1)), og.function(noise, runtime=og.RunTime(seed=1))
    with og.Graph().as_default_graph():
        a, b = first(np.zeros(3)), first(np.zeros(3))
    with og.Graph().as_default_graph():
        c, d = second(np.zeros(3)), second(np.zeros(3))
    assert not np.array_equal(a, b)
    np.testing.assert_array_equal([a, b], [c, d])


def test_it_runs_in_the_graph_s_run_time_or_the_one_it_is_given(graph):
    graph.set_runtime(og.RunTime())
    other = og.RunTime()

    @og.function(runtime=other)
    def f(x):
        return x + 1.0

    f(A)
    assert (graph.get_runtime().cache_info().plans, other.cache_info().plans) == (0, 1)
    og.function(lambda x: x + 1.0)(A)
    assert graph.get_runtime().cache_info().plans == 1


class Scaled:
    """A model with a method that is traced."""

    def __init__(self, w):
        self.w = og.Variable(w, name="w")

    @og.function
    def __call__(self, x):
        return x * self.w

    @og.function
    def doubled(self, x, *, times=1):
        """Double."""
        return self(x) * (2.0 * times)


def test_methods_belong_to_their_objects():
    one, two = Scaled(np.full(3, 1.0)), Scaled(np.full(3, 2.0))
    for _ in range(2):
        assert one(A[0]).tolist() == A[0].tolist()
        assert two(A[0]).tolist() == (A[0] * 2).tolist()
        assert two.doubled(A[0], times=2).tolist() == (A[0] * 8).tolist()
    assert Scaled.doubled.cache_info()[:2] == (1, 1)
    assert one.doubled.__doc__ == "Double."
    assert Scaled.doubled.__name__ == "doubled"


def test_methods_belong_to_objects_that_cannot_be_referred_to_weakly():
    class Shifted(NamedTuple):
        by: float

        @og.function
        def __call__(self, x):
            return x + self.by

    for by in (1.0, 2.0, 1.0, 3.0):
        assert Shifted(by)(A[0]).tolist() == (A[0] + by).tolist()


def test_an_object_is_freed_with_the_traces_of_its_methods():
    model = Scaled(np.ones(3))
    model.doubled(A[0])
    before = Scaled.doubled.cache_info().currsize
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert Scaled.doubled.cache_info().currsize == before - 1


def test_a_function_keeps_no_graph_alive():
    f = og.function(lambda x: x * 2.0)
    graphs = []
    for _ in range(3):
        with og.Graph().as_default_graph() as graph:
            f(A)
        graphs.append(weakref.ref(graph))
        del graph
    gc.collect()
    assert [graph() for graph in graphs] == [None] * 3
    assert f.cache_info().currsize == 0


def test_a_graph_keeps_no_function_alive(graph):
    f = og.function(lambda x: x * 2.0)
    f(A)
    gone = weakref.ref(f)
    del f
    gc.collect()
    assert gone() is None
    assert len(graph.executables) == 0


def test_a_function_called_in_another_one_is_part_of_it():
    counted = Counted(lambda x, y: x * y + 1.0)
    inner = og.function(counted)
    outer = og.function(lambda x: og.exp(inner(x, 2.0) + inner(np.ones(3), x)))
    np.testing.assert_allclose(outer(A), np.exp(A * 2 + 1 + A + 1), rtol=1e-12)
    assert inner.cache_info() == (0, 0, 64, 0)
    assert counted.calls == 2


def test_a_function_of_nodes_builds_nodes():
    f = og.function(lambda x, s, *, k=1: x * s * float(k))
    x = og.placeholder((None, 3), np.float64)
    y = f(x, 2.0, k=3)
    assert isinstance(y, og.Node)
    np.testing.assert_array_equal(og.RunTime().run(y, {x: A}), A * 6)


def test_value_and_grad_of_a_function():
    @og.function
    def loss(w, x, s):
        return og.reduce_sum(og.sin(w * x) * s)

    w, x = np.array([0.5, 1.0, 1.5]), A
    f = og.value_and_grad(loss)
    for s in (2.0, 3.0):
        value, gradient = f(w, x, s)
        np.testing.assert_allclose(value, (np.sin(w * x) * s).sum(), rtol=1e-12)
        np.testing.assert_allclose(gradient, (np.cos(w * x) * x * s).sum(0), rtol=1e-12)
    assert f.cache_info().misses == 1
    value, (by_x, by_s) = og.value_and_grad(loss, argnums=(1, 2))(w, x, 2.0)
    np.testing.assert_allclose(by_x, np.cos(w * x) * w * 2, rtol=1e-12)
    np.testing.assert_allclose(by_s, np.sin(w * x).sum(), rtol=1e-12)
    assert by_s.shape == ()


def test_grad_of_a_plain_function_and_of_a_gradient():
    def cube(x):
        return og.reduce_sum(x**3.0)

    x = np.array([1.0, -2.0])
    np.testing.assert_allclose(og.grad(cube)(x), 3 * x**2, rtol=1e-12)
    second = og.grad(lambda x: og.reduce_sum(og.grad(cube)(x)))
    np.testing.assert_allclose(second(x), 6 * x, rtol=1e-12)
    assert og.grad(cube, 0)(np.float32([2.0])).tolist() == [12.0]
    (alone,) = og.grad(cube, [0])(x)
    np.testing.assert_allclose(alone, 3 * x**2, rtol=1e-12)


def test_gradients_are_nested_as_the_arguments_are():
    def loss(parameters, x):
        return og.reduce_sum(og.square(x @ parameters["w"] + parameters["b"][0]))

    parameters = {"w": np.ones((3, 2)), "b": [np.zeros(2), np.ones(5)]}
    with pytest.raises(og.GradientError, match="does not depend on placeholder \"loss/parameters\\['b'\\]\\[1\\]\""):
        og.grad(loss)(parameters, A)
    found = og.grad(loss, unconnected="zeros")(parameters, A)
    y = 2 * (A @ parameters["w"])
    np.testing.assert_allclose(found["w"], A.T @ y, rtol=1e-12)
    np.testing.assert_allclose(found["b"][0], y.sum(0), rtol=1e-12)
    assert found["b"][1].tolist() == [0] * 5
    assert og.grad(loss, unconnected="none")(parameters, A)["b"][1] is None


def test_a_value_and_its_gradients_are_one_program():
    rt = og.RunTime()
    f = og.value_and_grad(og.function(lambda x: og.reduce_sum(og.exp(x)), runtime=rt))
    f(A)
    f(A)
    info = rt.cache_info()
    assert (info.structures, info.plans, info.plan_hits) == (1, 1, 1)


def test_the_gradient_of_a_method():
    model = Scaled(np.full(3, 2.0))
    np.testing.assert_array_equal(og.grad(model.doubled)(A[0]), np.full(3, 4.0))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: og.grad(len, argnums="x"), og.ArgumentError, "grad: argnums is a position from 0, .* not 'x'"),
        (lambda: og.grad(len, argnums=-1), og.ArgumentError, "argnums is a position from 0"),
        (lambda: og.grad(len, argnums=()), og.ArgumentError, "argnums is a position from 0"),
        (lambda: og.value_and_grad(len, 0, 1.0), og.ArgumentError, "value_and_grad: .* neither cotangent nor stopped"),
        (lambda: og.grad(len, unconnected="no"), og.ArgumentError, "unconnected='no' is none of"),
        (lambda: og.grad(og.constant(1.0)), og.ArgumentError, "grad: missing a required argument: 'xs'"),
        (lambda: og.value_and_grad(og.constant(1.0)), og.ArgumentError, "missing a required argument: 'xs'"),
        (lambda: og.grad(lambda x: (x, x))(A), og.GradientError, "must return one node for that, not a tuple"),
        (lambda: og.grad(lambda x: None)(A), og.GradientError, "must return one node for that, not nothing"),
        (lambda: og.grad(lambda x: x * 1j)(A), og.GradientError, "is complex; differentiate a real function"),
        (lambda: og.grad(lambda x: x, 2)(A), og.GradientError, "called with 1 arguments .* none of which is number 2"),
        (lambda: og.grad(lambda x: x * 1.0)(np.arange(3)), og.GradientError, "only floating-point and complex"),
        (lambda: og.function(3), og.ArgumentError, "function: takes a function, not 3"),
        (lambda: og.function(len, runtime=3), og.ArgumentError, "function: runtime is a RunTime or None, not 3"),
    ],
)
def test_wrong_uses_say_what_is_wrong(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert "test_function.py" in str(caught.value)


def test_a_branch_on_a_node_names_the_function_the_line_and_the_way_out():
    @og.function
    def choose(x):
        if x > 0:  # this line
            return x
        return -x

    with pytest.raises(og.NoValueError) as caught:
        choose(1.0)
    text = str(caught.value)
    assert "greater 'choose/greater'" in text
    assert "has no truth value before it is run" in text
    assert "in the traced function 'choose'" in text
    assert "what is passed by keyword is a value" in text
    assert text.endswith("if x > 0:  # this line")


def test_an_error_while_tracing_names_the_function_and_its_line():
    @og.function
    def product(x, y):
        return x @ y  # this line

    with pytest.raises(og.ShapeError) as caught:
        product(A, A)
    assert "in the traced function 'product'" in str(caught.value)
    assert "placeholder 'product/x' (2, 3) float64" in str(caught.value)
    assert str(caught.value).endswith("# this line")


def test_an_error_while_running_names_the_line_in_the_function():
    rt = og.RunTime(check_finite=True)

    @og.function(runtime=rt)
    def root(x):
        return og.log(x)  # this line

    with pytest.raises(og.NonFiniteError, match="'root/log' went infinite") as caught:
        root(A)
    assert str(caught.value).endswith("# this line")


def test_after_an_exception_everything_is_as_before(graph):
    fails = [True]

    @og.function
    def f(x):
        with og.Graph().as_default_graph(), og.name_scope("inner"):
            if fails[0]:
                raise KeyError("stop")
        return x + 1.0

    with pytest.raises(KeyError):
        f(A)
    assert og.get_default_graph() is graph
    assert og.constant(1.0).name == "constant"
    fails[0] = False
    np.testing.assert_array_equal(f(A), A + 1)
    assert f.cache_info().misses == 1


def test_a_variable_made_in_the_function_is_refused():
    def made(x):
        return x * og.Variable(np.ones(3), name="w")

    with pytest.raises(og.GraphError, match="variable 'made/w' .* is made in it, anew for each trace; make it before"):
        og.function(made)(A)


def test_a_placeholder_that_is_no_argument_is_refused():
    p = og.placeholder((3,), np.float64, name="p")
    with pytest.raises(og.FeedError, match="placeholder 'p' .* is none of its arguments"):
        og.function(lambda x: x + p)(A)


def test_a_node_of_another_graph_is_refused():
    with og.Graph().as_default_graph():
        other = og.constant(1.0)
    with pytest.raises(og.GraphError, match="it returned constant 'constant' .* node of another graph"):
        og.function(lambda x: other)(A)


@pytest.mark.parametrize("result", ["text", object()])
def test_a_result_that_is_no_value_is_refused(result):
    with pytest.raises(og.DtypeError, match="values are booleans, .* in the traced function '<lambda>'"):
        og.function(lambda x: result)(A)


def test_threads_share_a_trace():
    counted = Counted(lambda x: og.exp(x) * 2.0)
    f = og.function(counted)
    graph = og.get_default_graph()
    failures = []

    def work(i):
        try:
            with graph.as_default_graph():
                for _ in range(20):
                    np.testing.assert_allclose(f(A + i), np.exp(A + i) * 2.0, rtol=1e-12)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert counted.calls == 1


def test_arrays_of_any_layout_are_taken():
    f = og.function(lambda x: x * 2.0)
    for data in (A.T, A[:, ::-1], A.astype(">f8"), np.asfortranarray(A)):
        np.testing.assert_array_equal(f(data), data * 2)
    read_only = A.copy()
    read_only.flags.writeable = False
    np.testing.assert_array_equal(f(read_only), A * 2)


def test_a_function_trains():
    w = og.Variable(np.zeros(3), name="w")
    target = np.array([1.0, -2.0, 0.5])
    data = np.random.default_rng(0).normal(size=(20, 3))

    @og.function
    def step(x, t, rate):
        loss = og.reduce_mean(og.square(x @ w - t))
        loss.graph.add_update(w, w - rate * og.grad(loss, w), when=loss)
        return loss

    losses = [step(data, data @ target, 0.3 / (1 + i / 100)) for i in range(100)]
    assert losses[-1] < 1e-6 < losses[0]
    assert step.cache_info().misses == 1


@pytest.mark.parametrize("argument", [3, np.arange(3)])
def test_an_integer_to_differentiate_by_is_told_to_be_a_float(argument):
    with pytest.raises(
        og.GradientError, match=r"x is placeholder .*a' .* int64; only .*; give a float, 3\.0 in the place of 3"
    ):
        og.value_and_grad(lambda a: a * a)(argument)
