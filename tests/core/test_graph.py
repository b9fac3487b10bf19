import asyncio
import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

import opgraph as og


def ones(shape, rng):
    return np.ones(shape)


def test_nodes_compare_and_hash_by_identity():
    x, y = og.placeholder((2,)), og.placeholder((2,))
    assert x == x
    assert x != y
    assert {x: 1, y: 2}[x] == 1


def test_a_node_tells_what_it_is(graph):
    x = og.placeholder((None, 3), name="x")
    y = x + 1.0
    assert (y.shape, y.dtype, y.name, y.graph, y.index) == ((None, 3), np.float32, "add", graph, 0)
    assert y.inputs[0] is x
    assert y.call.op.name == "core.add"
    assert repr(x) == "<placeholder 'x' (None, 3) float32>"
    assert repr(y) == "<add 'add' (None, 3) float32>"
    assert repr(y.call) == "<call 'add': core.add() of (x, constant)>"
    assert repr(y.inputs[1]) == "<constant 'constant' () float32 = 1.0>"
    w = og.variable((2,), lambda shape, rng: np.zeros(shape), trainable=False, name="w")
    assert repr(w) == "<variable 'w' (2,) float32, not trainable, no value yet>"
    assert repr(w.graph) == "<Graph with 1 variables, 0 trainable>"
    assert x.ndim == 2
    assert x.inputs == ()


@pytest.mark.parametrize("attribute", ["name", "spec", "graph", "call", "index", "source", "serial"])
def test_what_a_node_is_never_changes(attribute):
    x, w = og.placeholder((2,), name="x"), og.Variable([1.0], name="w")
    for node in (x, x + 1.0, w):
        before = getattr(node, attribute)
        with pytest.raises(AttributeError, match=f"{node.name!r} .* keeps its {attribute}") as caught:
            setattr(node, attribute, None)
        assert isinstance(caught.value, og.ReadOnlyError)
        assert "setattr(node, attribute, None)" in str(caught.value)
        assert getattr(node, attribute) is before
    w.trainable = False
    assert og.get_default_graph().get_variables() == []


def test_a_variable_changes_by_set_val_alone():
    w = og.Variable([1.0, 2.0], name="w")
    with pytest.raises(ValueError, match="read-only"):
        w.val[0] = 5.0
    with pytest.raises(ValueError, match="read-only"):
        w.val *= 2.0
    with pytest.raises(og.ReadOnlyError, match=r"variable 'w' \(2,\) float32: val is a copy .*; set_val") as caught:
        w.val = np.ones(2)
    assert "w.val = np.ones(2)" in str(caught.value)
    w.set_val(2.0 * w.val)
    assert w.val.tolist() == [2.0, 4.0]


def test_names_are_unique_and_count_per_kind():
    assert [og.placeholder(()).name for _ in range(3)] == ["placeholder", "placeholder_1", "placeholder_2"]
    a = og.placeholder((), name="a")
    assert (a + a).name == "add"
    assert (a + a).name == "add_1"
    assert og.placeholder((), name="a").name == "a_1"


def test_a_name_that_was_generated_is_taken():
    assert [og.placeholder((), name="a").name for _ in range(3)] == ["a", "a_1", "a_2"]
    assert og.placeholder((), name="a_1").name == "a_1_1"
    assert og.placeholder((), name="a_5").name == "a_5"
    assert [og.placeholder((), name="a").name for _ in range(4)] == ["a_3", "a_4", "a_6", "a_7"]
    assert og.placeholder((), name="a_7").name == "a_7_1"
    assert og.placeholder((), name="a_07").name == "a_07"


def test_one_builder_names_its_variables_alike_in_two_graphs():
    def build():
        x = og.placeholder((None, 2))
        w = og.variable((2, 3), ones)
        return (x @ w + og.variable((3,), ones)).graph

    names = []
    for _ in range(2):
        with og.Graph().as_default_graph():
            names.append([v.name for v in build().get_variables()])
    assert names == [["variable", "variable_1"]] * 2


def test_name_scopes_nest():
    with og.name_scope("layer"), og.name_scope("inner"):
        assert og.placeholder((), name="x").name == "layer/inner/x"
    assert og.placeholder((), name="x").name == "x"
    with pytest.raises(og.ArgumentError, match="is empty or has a slash at its end"), og.name_scope("a/"):
        pass


def test_the_default_graph_is_per_thread_and_task():
    outer = og.get_default_graph()
    seen = []
    thread = threading.Thread(target=lambda: seen.append(og.get_default_graph()))
    thread.start()
    thread.join()
    assert seen[0] is not outer

    async def task(barrier):
        with og.Graph().as_default_graph() as graph:
            await barrier.wait()
            return og.get_default_graph() is graph

    async def both():
        barrier = asyncio.Barrier(2)
        return await asyncio.gather(task(barrier), task(barrier))

    assert asyncio.run(both()) == [True, True]
    assert og.get_default_graph() is outer


def test_nodes_of_two_graphs_do_not_mix():
    x = og.placeholder((2,), name="x")
    with og.Graph().as_default_graph():
        y = og.placeholder((2,), name="y")
    with pytest.raises(og.GraphError, match=r"add: nodes of two graphs; carry values over with \.val") as caught:
        x + y
    assert "x: placeholder 'x' (2) float32; y: placeholder 'y' (2)".replace("(2)", "(2,)") in str(caught.value)
    assert "test_graph.py" in str(caught.value)


def test_a_graph_holds_variables_strongly_and_everything_else_weakly(graph):
    kept = weakref.ref(og.variable((2,), ones))
    dropped = weakref.ref(og.Variable([1.0, 2.0]))
    node = weakref.ref(og.placeholder((2,)) + 1.0)
    gc.collect()
    assert kept() is not None
    assert dropped() is None
    assert node() is None


def test_an_output_node_comes_back_the_same_while_it_is_held():
    x = og.placeholder((2,))
    y = og.tanh(x)
    assert y.call.output(0) is y
    call, name = y.call, y.name
    del y
    assert call.output(0).name == name


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (bool, "has no truth value before it is run; run it, then test the array"),
        (iter, "cannot be iterated over; og.unstack"),
        (len, r"has no len\(\); ask for .shape\[0\]"),
    ],
)
def test_what_only_an_array_can_answer_is_refused_with_a_hint(use, message):
    x = og.placeholder((2,), name="x")
    with pytest.raises(TypeError, match=message) as caught:
        use(x)
    assert "placeholder 'x' (2,) float32" in str(caught.value)
    assert "test_graph.py" in str(caught.value)


def test_operators_take_arrays_lists_and_scalars_on_either_side():
    x = og.placeholder((2,), dtype=np.float64)
    rt = og.RunTime()
    data = np.array([1.0, 2.0])

    def value(node):
        assert isinstance(node, og.Node)
        return rt.run(node, {x: data}).tolist()

    assert value([10.0, 20.0] - x) == [9.0, 18.0]
    assert value(x - [10.0, 20.0]) == [-9.0, -18.0]
    assert value(np.array([10.0, 20.0]) - x) == [9.0, 18.0]
    assert value(np.float64(2) * x) == [2.0, 4.0]
    assert value(3 / x) == [3.0, 1.5]
    assert value(x / 2) == [0.5, 1.0]
    assert value(-x) == [-1.0, -2.0]
    assert value(+x) == [1.0, 2.0]
    assert value(np.ones((3, 2)) @ x.reshape(2, 1))[0] == [3.0]
    assert value(x.reshape((2, 1)) @ np.ones((1, 1))) == [[1.0], [2.0]]
    assert value(x.reshape(1, 2).T) == [[1.0], [2.0]]
    assert value(x.sum()) == 3.0
    assert value(x.mean(axis=0, keepdims=True)) == [1.5]
    assert value(x.astype(np.int32)) == [1, 2]


def test_python_numbers_are_weak_and_arrays_are_not():
    x = og.placeholder((2,), dtype=np.float32)
    assert (x * 2.5).dtype == np.float32
    assert (x * [1.0, 2.0]).dtype == np.float32
    assert (x * np.float64(2.5)).dtype == np.float64
    assert (x * np.arange(2)).dtype == np.float32
    i = og.placeholder((2,), dtype=np.int8)
    assert (i + 1).dtype == np.int8
    assert (i + 1.5).dtype == np.float32
    assert (i / 2).dtype == np.float32
    assert (og.placeholder((), dtype=bool) + 1).dtype == np.int64


@pytest.mark.parametrize(
    ("dtype", "number", "message"),
    [
        (np.int8, 300, "300 is out of the range of int8"),
        (np.uint8, -1, "-1 is out of the range of uint8"),
        (np.float16, 1e6, "1000000.0 is out of the range of float16"),
        (np.int64, 2**80, "1208925819614629174706176 is out of the range of int64"),
        (np.bool, 2**80, "1208925819614629174706176 is out of the range of int64"),
        (np.int64, [2**80, 1], "1208925819614629174706176 is out of the range of int64"),
        (np.float32, [1, -(10**40)], r"-1000+ is out of the range of float32"),
        (np.float16, 10**30, r"1000+ is out of the range of float16"),
        (np.float64, 10**400, r"100+\.\.\. is out of the range of float64"),
        pytest.param(np.float64, 10**5000, "an integer of 16610 bits is out of the range of float64", id="digits"),
        (np.float64, [10**400, 1.5], r"100+\.\.\. is out of the range of float64"),
        (np.float32, [10**30, None], "not Python objects"),
    ],
)
def test_a_python_number_that_cannot_be_represented_is_refused(dtype, number, message):
    x = og.placeholder((2,), dtype=dtype)
    with pytest.raises(og.DtypeError, match=message) as caught:
        x + number
    assert "add: " in str(caught.value)
    assert "x + number" in str(caught.value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64])
def test_an_integer_that_a_float_holds_goes_into_one(dtype):
    x = og.placeholder((2,), dtype=dtype)
    for value in (10**30, [10**30, 1], (-(10**30), 2.5), [[10**30, True], [1, 2]]):
        expected = np.array([1, 2], dtype) * np.asarray(value, np.float64).astype(dtype)
        result = og.RunTime().run(x * value, {x: [1, 2]})
        assert result.dtype == dtype
        np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(og.RunTime().run(x, {x: [10**30, 1]}), np.array([1e30, 1], dtype))
    assert og.Variable([10**30, 1], dtype=dtype).val.tolist() == np.array([1e30, 1], dtype).tolist()


def test_large_integers_by_themselves_take_the_default_float():
    assert og.constant(10**30).dtype == np.float32
    assert og.add(10**30, 1)().dtype == np.float32
    assert og.constant([10**30, 1j]).dtype == np.complex64


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("abc", "not strings: 'abc'"),
        (b"abc", "not bytes"),
        (None, "numbers, not None"),
        ({1, 2}, "not Python objects"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "not datetime64"),
    ],
)
def test_what_is_no_number_is_refused(value, message):
    x = og.placeholder((2,))
    with pytest.raises(og.DtypeError, match=message):
        x + value
    with pytest.raises(og.DtypeError, match=message):
        og.Variable(value)
    with pytest.raises(og.DtypeError, match=message):
        og.constant(value)


def test_a_placeholder_has_a_known_number_of_dimensions():
    with pytest.raises(
        og.ShapeError, match=r"^placeholder: a shape is needed, not None: write \(\) for .*\n  at test_graph"
    ):
        og.placeholder(None)


def test_a_ragged_list_is_refused():
    with pytest.raises(og.ShapeError, match="a list that is no array"):
        og.constant([[1.0, 2.0], [3.0]])


def test_constants_are_copies_that_nobody_can_change():
    array = np.array([1.0, 2.0])
    node = og.constant(array)
    array[0] = 9.0
    assert node.value.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        node.value[0] = 9.0


def test_variables_start_from_a_value_or_an_initializer(graph):
    v = og.Variable(3)
    assert v.dtype == np.float32
    assert v.val == 3.0
    assert og.Variable(np.arange(3)).dtype == np.int64
    assert og.Variable([1, 2], dtype=np.int32).dtype == np.int32
    w = og.variable([2, 3], lambda shape, rng: rng.normal(size=shape), name="w")
    with pytest.raises(og.UninitializedError, match=r"no value yet: variable 'w' \(2, 3\) float32; call graph"):
        _ = w.val
    graph.initialize_variables(seed=3)
    first = w.val
    assert first.dtype == np.float32
    graph.initialize_variables(seed=3)
    assert (w.val == first).all()
    graph.initialize_variables(seed=4)
    assert (w.val != first).all()
    assert v.val == 3.0


def test_one_seed_and_name_give_one_value_in_whichever_graph():
    values = []
    for extra in (False, True):
        with og.Graph().as_default_graph() as graph:
            if extra:
                og.variable((4,), lambda shape, rng: rng.normal(size=shape), name="other")
            w = og.variable((3,), lambda shape, rng: rng.normal(size=shape), name="w")
            graph.set_runtime(og.RunTime(seed=7))
            graph.initialize_variables()
            values.append(w.val.tolist())
    assert values[0] == values[1]


def test_initial_values_may_be_given_by_name(graph):
    w = og.variable((2,), ones, name="weights")
    b = og.variable((3,), ones, name="b", trainable=False)
    graph.initialize_variables({"weights": [4, 5]})
    assert w.val.tolist() == [4.0, 5.0]
    assert b.val.tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(og.GraphError, match="no variable is named 'weight'; did you mean 'weights'"):
        graph.initialize_variables({"weight": [4, 5]})


def test_initialization_is_all_or_nothing(graph):
    w = og.variable((2,), ones, name="w")
    b = og.variable((3,), lambda shape, rng: np.zeros(5), name="b")
    with pytest.raises(og.ShapeError, match=r"variable 'b': a value of shape \(5,\) does not go into \(3,\) float32"):
        graph.initialize_variables()
    with pytest.raises(og.UninitializedError):
        _ = w.val
    with pytest.raises(og.UninitializedError):
        _ = b.val


def test_only_trainable_variables_can_be_initialized_and_listed(graph):
    w = og.variable((2,), ones)
    b = og.variable((3,), ones, trainable=False)
    slot = og.Variable([0.0], slot=True, trainable=False)
    graph.initialize_variables(only_trainable=True)
    assert w.storage.initialized
    assert not b.storage.initialized
    assert graph.get_variables() == [w]
    assert graph.get_variables(only_trainable=False) == [w, b]
    assert slot not in graph.get_variables(only_trainable=False)


def test_values_are_copied_in_and_out():
    array = np.array([1.0, 2.0])
    v = og.Variable(array)
    array[0] = 9.0
    before = v.val
    assert before.tolist() == [1.0, 2.0]
    assert v.val.tolist() == [1.0, 2.0]
    v.set_val([3, 4])
    assert v.val.tolist() == [3.0, 4.0]
    assert before.tolist() == [1.0, 2.0]
    assert v.val.dtype == np.float64


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.ones(3), og.ShapeError, r"variable 'v': a value of shape \(3,\) does not go into \(2,\) float32"),
        (["a", "b"], og.DtypeError, "not strings"),
        ([1j, 2j], og.DtypeError, "complex128 does not go into float32"),
    ],
)
def test_a_value_that_does_not_fit_leaves_the_variable_as_it_was(value, error, message):
    v = og.Variable([1.0, 2.0], name="v")
    with pytest.raises(error, match=message) as caught:
        v.set_val(value)
    assert "og.Variable([1.0, 2.0]" in str(caught.value)
    assert v.val.tolist() == [1.0, 2.0]


def test_initialize_takes_a_value_or_asks_the_initializer():
    w = og.variable((2,), ones)
    w.initialize()
    assert w.val.tolist() == [1.0, 1.0]
    w.initialize([3.0, 4.0])
    assert w.val.tolist() == [3.0, 4.0]
    v = og.Variable([5.0])
    v.initialize()
    assert v.val.tolist() == [5.0]


def test_a_variable_needs_a_known_shape_and_a_callable_initializer():
    with pytest.raises(og.ShapeError, match=r"variable: a variable's shape must be known, \(None, 2\) is not"):
        og.variable((None, 2), ones)

    class Zeros:
        def __call__(self, shape, rng):
            return np.zeros(shape)

    with pytest.raises(og.ArgumentError, match=r"variable: initializer .* not the class Zeros; write Zeros\(…\)"):
        og.variable((2,), Zeros)
    with pytest.raises(og.ArgumentError, match=r"Variable: initializer .* not the class Zeros; write Zeros\(…\)"):
        og.Variable([1.0, 2.0], initializer=Zeros)
    with pytest.raises(og.ArgumentError, match="initializer must be callable"):
        og.variable((2,), 0.0)


def test_an_update_must_fit_its_variable_and_have_something_to_fire_it(graph):
    v = og.Variable(np.zeros(2, np.float32), name="v")
    x = og.placeholder((2,), name="x")
    y = x * 2.0
    with pytest.raises(og.GraphError, match="when=<?placeholder 'x' .* is not computed"):
        graph.add_update(v, y, when=x)
    with pytest.raises(og.DtypeError, match=r"convert it first, with \.astype\('float32'\)"):
        graph.add_update(v, y.astype(np.float64), when=y)
    with pytest.raises(og.DtypeError, match="take its real part first, with og.real"):
        graph.add_update(v, y.astype(np.complex64), when=y)
    with pytest.raises(og.ShapeError, match="does not go into variable 'v'"):
        graph.add_update(v, np.zeros(3), when=y)
    with og.Graph().as_default_graph() as other, pytest.raises(og.GraphError, match="must be nodes of this graph"):
        other.add_update(v, y, when=y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda x, y, v: (y, y, y), "variable must be a variable, not <multiply"),
        (lambda x, y, v: ("w", y, y), "variable must be a variable, not 'w'"),
        (lambda x, y, v: (v, y, None), "when must be a node, not None"),
    ],
)
def test_an_update_of_what_is_no_variable_is_refused(graph, arguments, message):
    x, v = og.placeholder((2,)), og.Variable([0.0, 0.0])
    y = x * 2.0
    variable, value, when = arguments(x, y, v)
    with pytest.raises(og.GraphError, match=message):
        graph.add_update(variable, value, when=when)
    assert og.RunTime().run(y, {x: [1, 2]}).tolist() == [2.0, 4.0]


def test_a_masked_array_does_not_lose_its_mask():
    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    for use in (og.constant, og.Variable, lambda m: og.placeholder((2,)) + m):
        with pytest.raises(og.DtypeError, match="a masked array would lose its mask"):
            use(masked)
    assert og.constant(np.ma.array([1.0, 2.0])).value.tolist() == [1.0, 2.0]


def test_an_array_that_the_common_dtype_cannot_hold_is_refused():
    x = og.placeholder((2,), dtype=np.float16)
    with pytest.raises(og.DtypeError, match="100000 is out of the range of float16"):
        x + np.array([1, 100_000])


def test_numpy_s_functions_point_to_ours():
    x = og.placeholder((2, 3), name="x")
    with pytest.raises(og.DtypeError, match=r"placeholder 'x' .* cannot go into numpy\.transpose; use og\.transpose"):
        np.transpose(x)
    with pytest.raises(og.DtypeError, match="is no array before it is run"):
        np.asarray(x)


def test_nodes_cannot_be_copied_or_pickled():
    v = og.Variable([1.0], name="v")
    for use in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(og.DtypeError, match="variable 'v' .* belongs to its graph and cannot be copied or pickled"):
            use(v)


def test_names_are_strings():
    with pytest.raises(og.ArgumentError, match="a name is a string, not 5"):
        og.placeholder((2,), name=5)
    with pytest.raises(og.ArgumentError, match="a name is a string"):
        og.Variable((3, 2), ones)


def test_an_initializer_that_raises_is_named(graph):
    og.variable((2,), lambda shape, rng: 1 / 0, name="w")
    with pytest.raises(og.ArgumentError, match="variable 'w': its initializer raised ZeroDivisionError"):
        graph.initialize_variables()


def test_a_message_names_what_the_user_wrote_and_not_the_cast_in_between():
    x, b = og.placeholder((None, 3), dtype=np.float64, name="x"), og.placeholder((2, 5), name="b")
    with pytest.raises(og.ShapeError) as caught:
        x @ b
    assert (
        str(caught.value).splitlines()[1] == "  x: placeholder 'x' (None, 3) float64; y: placeholder 'b' (2, 5) float32"
    )
    written = b.astype(np.float64)
    with pytest.raises(og.ShapeError, match="y: cast 'cast_1'"):
        x @ written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"var_dict": ["w"]}, r"var_dict is a mapping from names to values, not \['w'\]"),
        ({"var_dict": {3: 1.0}}, "no variable is named 3"),
        ({"seed": -1}, "seed is an integer from 0 or None, not -1"),
        ({"seed": 1.5}, "seed is an integer from 0"),
    ],
)
def test_initializing_refuses_what_is_no_value_or_seed(graph, arguments, message):
    with pytest.raises(og.OpgraphError, match=f"initialize_variables: {message}") as caught:
        graph.initialize_variables(**arguments)
    assert "at test_graph.py" in str(caught.value)


def test_a_variable_that_does_not_fit_into_memory_is_refused():
    with pytest.raises(og.ShapeError, match=r"variable: \(1099511627776, 1048576\) float32 takes .* more memory"):
        og.variable((2**40, 2**20), ones)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda huge: og.constant(huge), r"constant: \(1048576, 1048576\) float64 takes .* more memory"),
        (
            lambda huge: og.constant(huge, np.float32),
            r"constant: \(1048576, 1048576\) float32 takes .* more memory",
        ),
        (lambda huge: og.sin(huge), r"sin: \(1048576, 1048576\) float64 takes .* more memory"),
        (lambda huge: fed(huge, np.float64), r"feed of placeholder 'u' .*: \(1048576, .* float64 takes .* more memory"),
        (lambda huge: fed(huge, np.float32), r"feed of placeholder 'u' .*: \(1048576, .* float32 takes .* more memory"),
    ],
)
def test_an_array_without_memory_that_does_not_fit_into_memory_is_named(use, message):
    with pytest.raises(og.ShapeError, match=message) as caught:
        use(np.broadcast_to(1.0, (2**20, 2**20)))
    assert "at test_graph.py" in str(caught.value)


def fed(value, dtype):
    u = og.placeholder((None, None), dtype, name="u")
    og.RunTime().run(u, {u: value})


def test_a_name_scope_that_is_refused_names_the_user_s_line():
    with pytest.raises(og.ArgumentError, match="name_scope: 'a/'") as caught, og.name_scope("a/"):
        pass
    assert "at test_graph.py" in str(caught.value)
