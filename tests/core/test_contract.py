"""Ops that break their contract: each is named, at the user's line, and spoils nothing."""

import numpy as np
import pytest

import opgraph as og


class Same(og.Op, name="test.same"):
    """The identity, for tests to break."""

    def infer(self, ins):
        return ins

    def compute(self, ins, outs):
        np.copyto(outs[0], ins[0])

    def vjp(self, ins, outs, cotangents):
        return cotangents


def broken(name, **methods):
    return type("Broken", (Same,), methods, name=f"test.{name}")()


def fails(op, message, error=og.KernelError):
    """Run `op` and check the message, which must name it, its input and this file."""
    x = og.placeholder((None, 3), dtype=np.float64, name="x")
    with pytest.raises(error, match=message) as caught:
        og.RunTime().run(og.apply(op, x), {x: np.ones((2, 3))})
    assert str(caught.value).startswith(f"{op.name}: ")
    assert "test_contract.py" in str(caught.value)


def test_a_kernel_that_returns_its_result_is_named():
    fails(broken("returns", compute=lambda self, ins, outs: ins[0] * 2), "returned something; it must fill its outputs")


def overwrite(self, ins, outs):
    ins[0][...] = -9
    outs[0].fill(0)


def test_a_kernel_cannot_write_into_feeds_variables_or_intermediate_values():
    op = broken("overwrites", compute=overwrite)
    fails(
        op, "its kernel raised ValueError: assignment destination is read-only; inputs are read-only, a kernel writes"
    )
    data = np.ones(3)
    x = og.placeholder((3,), dtype=np.float64)
    v = og.Variable(np.ones(3))
    for node in (og.apply(op, x), og.apply(op, v), og.apply(op, x * 2.0), og.apply(op, v.reshape(3, 1))):
        with pytest.raises(og.KernelError, match="read-only"):
            og.RunTime().run(node, {x: data})
    assert data.tolist() == [1.0] * 3
    assert v.val.tolist() == [1.0] * 3


def test_a_view_of_memory_of_its_own_is_named():
    fails(broken("fresh_view", view=lambda self, ins: (ins[0] * 1,)), "its view returned memory of its own")
    fails(broken("no_views", view=lambda self, ins: 3), "its view returned a value of type int, not a tuple of arrays")


def raises(self, *args):
    raise ZeroDivisionError("by the test")


@pytest.mark.parametrize("method", ["view", "scratch", "compute"])
def test_a_method_that_raises_is_named(method):
    fails(broken(f"raising_{method}", **{method: raises}), r"its .*(view|scratch|kernel).* raised ZeroDivisionError")


@pytest.mark.parametrize("result", [5, og.Spec((1,), np.float32), (5,)], ids=["int", "spec", "tuple"])
def test_scratch_must_be_a_tuple_of_specs(result):
    fails(broken("scratch", scratch=lambda self, ins, outs: result), "its scratch returned .*, not a tuple of Specs")


@pytest.mark.parametrize("result", [0, [0], {0}, {7}, frozenset(), frozenset({7}), frozenset({"x"})], ids=repr)
def test_by_rows_must_be_a_frozenset_of_input_numbers(result):
    op = broken("rows", by_rows=lambda self, ins: result)
    fails(op, r"its by_rows returned .*, not None or a frozenset of some of its 1 inputs' numbers")


def test_by_rows_is_of_inputs_that_have_the_outputs_rows():
    reduced = {"infer": lambda self, ins: (ins[0].with_shape(ins[0].shape[1:]),), "compute": raises}
    op = broken("other_rows", by_rows=lambda self, ins: frozenset({0}), **reduced)
    fails(op, r"its by_rows returned .*, but input 0 of shape \(2, 3\) has not the rows of the outputs, \(3,\)")


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (og.Kernel(None), r"its kernel factory returned a Kernel whose run is None, not a function \(ins, outs\)"),
        (og.Kernel(np.copyto, bind=3), "a Kernel whose bind is 3, not a function"),
        (og.Kernel(np.copyto, ufunc=np.copyto), "a Kernel whose ufunc is <.*>, not a NumPy ufunc"),
        (og.Kernel(np.copyto, combine=np.add), "a Kernel whose combine is <ufunc 'add'>, but the op has none"),
        (og.Kernel(np.copyto, rows={0}), r"a Kernel whose rows is \{0\}, not None or a frozenset of some of its 1"),
    ],
)
def test_a_kernel_of_a_set_has_functions_in_its_place(kernel, message, monkeypatch):
    op = broken("of_a_set")
    monkeypatch.setattr("opgraph.runtime.get_kernels", lambda name: {op.name: lambda *_: kernel})
    x = og.placeholder((None, 3), dtype=np.float64, name="x")
    with pytest.raises(og.KernelError, match=rf"test.of_a_set: .*{message}") as caught:
        og.RunTime(kernels=("broken",)).run(og.apply(op, x), {x: np.ones((2, 3))})
    assert "test_contract.py" in str(caught.value)


@pytest.mark.parametrize("fed", [(), (3000,)], ids=["a small feed, which is copied", "a large one, bound in each run"])
@pytest.mark.parametrize(
    ("bind", "message"),
    [
        (lambda self, ins, outs: 1 / 0, "its bind raised ZeroDivisionError"),
        (lambda self, ins, outs: True, "its bind returned True, not a function or None"),
    ],
    ids=["raises", "returns no function"],
)
def test_a_wrong_bind_is_named(bind, message, fed):
    op = broken("bind", bind=bind)
    x = og.placeholder((None, 3, *fed), dtype=np.float64, name="x")
    with pytest.raises(og.KernelError, match=f"^test.bind: {message}") as caught:
        og.RunTime().run(og.apply(op, x), {x: np.ones((2, 3, *fed))})
    assert "test_contract.py" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"combine": np.add}, "combine needs the attributes axes and keepdims"),
        ({"combine": "add"}, "combine is 'add', not a NumPy ufunc of two inputs"),
        ({"combine": np.sqrt}, "combine is <ufunc 'sqrt'>, not a NumPy ufunc of two inputs"),
        ({"combine": np.add, "inputs": ("x", "y")}, "combine is for an op of one input and one output"),
        ({"combine": np.add, "hidden": 1}, "combine is for an op of one input and one output"),
    ],
)
def test_combine_is_checked_when_the_class_is_made(said, message):
    with pytest.raises(og.ArgumentError, match=f"^Broken: {message}"):
        broken("combine", **said)


def test_combine_is_for_one_output():
    class Twice(Same, name="test.twice"):
        axes: tuple[int, ...] | None = None
        keepdims: bool = False
        combine = np.add

        def infer(self, ins):
            return ins * 2

    x = og.placeholder((2, 3), dtype=np.float64)
    with pytest.raises(og.KernelError, match=r"test\.twice: combine is for .* one output, and its infer returned 2"):
        og.RunTime().run(og.apply_all(Twice(), x)[0], {x: np.ones((2, 3))})


def test_a_default_that_can_change_is_refused_with_the_way_to_write_it():
    with pytest.raises(og.ArgumentError, match=r"Listed: axes: .*\[1\] can be changed; write a tuple, .* = \(1,\)$"):

        class Listed(og.Op, name="test.listed"):
            axes: list = [1]  # noqa: RUF012  # what is refused

    with pytest.raises(og.ArgumentError, match=r"Keyed: table: .*{} can be changed; attributes are bool, int, float"):

        class Keyed(og.Op, name="test.keyed"):
            table: dict = {}  # noqa: RUF012  # what is refused


def test_an_attribute_without_a_default_comes_first():
    with pytest.raises(og.ArgumentError, match="Late: non-default argument 'n' follows default argument"):

        class Late(og.Op, name="test.late"):
            k: int = 1
            n: int


@pytest.mark.parametrize("result", [None, {5}, frozenset({5}), [0]], ids=repr)
def test_shape_only_must_be_a_frozenset_of_input_numbers(result):
    x = og.placeholder((3,), name="x")
    with pytest.raises(og.KernelError, match=r"test.unread: its shape_only returned .*, not a frozenset"):
        og.apply(broken("unread", shape_only=lambda self, n: result), x)


def test_an_error_of_ours_raised_in_a_kernel_is_placed():
    def compute(self, ins, outs):
        raise og.ArgumentError("labels must be below 10")

    fails(broken("own_error", compute=compute), "labels must be below 10\n  x: placeholder 'x'", og.ArgumentError)


def test_an_error_of_ours_without_a_message_is_placed():
    def infer(self, ins):
        raise og.ShapeError

    with pytest.raises(og.ShapeError, match="test.silent: "):
        og.apply(broken("silent", infer=infer), og.constant(1.0))


def test_a_spec_takes_what_means_a_shape_and_a_dtype():
    assert og.Spec((None, 3), float) == og.Spec(og.Shape(None, 3), np.dtype(np.float64))
    assert type(og.Spec([2], np.float32).shape) is og.Shape
    with pytest.raises(og.DtypeError):
        og.Spec((2,), str)


@pytest.mark.parametrize("result", [np.float32, np.dtype(np.float32)])
def test_dtypes_may_name_a_dtype_in_any_way(result):
    op = type("Odd", (og.Elementwise,), {"dtypes": lambda self, *ins: result}, name="test.odd_dtypes")()
    assert og.apply(op, og.constant(1.0)).dtype == np.float32


def test_a_wrong_number_of_dtypes_is_named():
    dtypes = (np.dtype(np.float32),) * 2
    op = type("Odd", (og.Elementwise,), {"dtypes": lambda self, *ins: dtypes}, name="test.two_dtypes")()
    with pytest.raises(og.KernelError, match="its dtypes returned 2 for 1 outputs"):
        og.apply(op, og.constant(1.0))


def test_a_vjp_of_the_wrong_run_time_shape_is_named():
    op = broken("short_vjp", vjp=lambda self, ins, outs, g: (og.reduce_sum(g[0], 0, keepdims=True),))
    x = og.placeholder((None, 3), dtype=np.float64, name="x")
    gradient = og.grad(og.apply(op, x), x)
    with pytest.raises(og.ShapeError, match=r"ensure_shape_like: x has shape \(1, 3\) .* of like is wanted, \(5, 3\)"):
        og.RunTime().run(gradient, {x: np.ones((5, 3))})


class Pair(Same, name="test.pair"):
    """The input, twice."""

    def infer(self, ins):
        return ins * 2


def negated_second(self, ins, outs, cotangents):
    return (-cotangents[1],)


def sum_of_second(self, ins, outs, cotangents):
    g = og.reduce_sum(cotangents[1])
    return (og.broadcast_like(g, ins[0]),)


def gradient_error(vjp, error):
    """Return the message for the gradient of an op of two outputs with this `vjp`, the second of which is unread."""
    x = og.placeholder((None, 3), dtype=np.float64, name="x")
    first, _ = og.apply_all(type("Broken", (Pair,), {"vjp": vjp}, name="test.broken_pair")(), x)
    with pytest.raises(error) as caught:
        og.grad(first, x)
    return str(caught.value)


def test_an_exception_in_a_vjp_names_the_author_s_line_and_the_cotangent_that_is_none():
    message = gradient_error(negated_second, og.GradientError)
    assert message.startswith("test.broken_pair: its vjp raised TypeError: bad operand type for unary -: 'NoneType'")
    assert "; the cotangent of output 1 is None: nothing reads that output, so leave its term out\n" in message
    assert f"\n  vjp at test_contract.py:{first_line_of(negated_second)}: return (-cotangents[1],)\n" in message
    assert message.splitlines()[-1].startswith("  at test_contract.py:")


def test_an_error_of_ours_in_a_vjp_names_the_author_s_line():
    message = gradient_error(sum_of_second, og.DtypeError)
    assert message.startswith("reduce_sum: values are booleans, integers, floats or complex numbers, not None")
    assert "in a vjp None is the cotangent of an output that nothing reads" in message
    assert ", in the vjp of test.broken_pair\n" in message
    line = f"vjp at test_contract.py:{first_line_of(sum_of_second)}: g = og.reduce_sum(cotangents[1])"
    assert message.splitlines()[-2].strip() == line
    assert message.splitlines()[-1].startswith("  at test_contract.py:")


def first_line_of(function):
    return function.__code__.co_firstlineno + 1


def test_an_unknown_size_as_an_operand_is_told_how_to_be_had():
    x = og.placeholder((None, 3))
    with pytest.raises(og.DtypeError, match=r"^divide: .* not None; .* unknown size, og\.count\(x, axis\) is"):
        og.reduce_sum(x) / x.shape[0]
    with pytest.raises(og.DtypeError, match="^feed of placeholder .* numbers, not None\n"):
        og.RunTime().run(x, {x: None})
    with pytest.raises(
        og.NoValueError, match=r"^feed of placeholder .*: exp 'exp' .* has no value before it is run; feed"
    ):
        og.RunTime().run(x, {x: og.exp(x)})


def test_a_vjp_of_another_graph_is_named():
    with og.Graph().as_default_graph():
        foreign = og.constant(np.ones(3))
    x = og.placeholder((3,), dtype=np.float64)
    y = og.apply(broken("foreign", vjp=lambda self, ins, outs, g: (foreign,)), x)
    with pytest.raises(og.GradientError, match="its vjp returned constant .* a node of another graph"):
        og.grad(y, x)


def test_an_op_class_is_not_an_op():
    with pytest.raises(og.ArgumentError, match=r"apply: an op is applied, such as Op\(\), not <class"):
        og.apply(Same, og.constant(1.0))


def test_a_program_that_is_run_from_its_own_kernel_is_refused():
    def compute(self, ins, outs):
        program(np.ones(3))

    x = og.placeholder((3,), dtype=np.float64)
    program = og.RunTime().compile([x], [og.apply(broken("recursive", compute=compute), x)])
    with pytest.raises(og.GraphError, match="of a run that is not over"):
        program(np.ones(3))
