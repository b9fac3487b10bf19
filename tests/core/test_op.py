import math
import pickle
from dataclasses import FrozenInstanceError
from typing import Any, Literal

import numpy as np
import pytest

import opgraph as og


class Knobs(og.Op, name="test.knobs"):
    """An op with an attribute of every kind."""

    count: int = 1
    factor: float = 1.0
    flag: bool = False
    mode: Literal["same", "valid"] = "same"
    sizes: tuple[int, ...] = ()
    pair: tuple[int, int] = (1, 1)
    axes: tuple[int, ...] | None = None
    dtype: np.dtype = np.dtype(np.float32)


class Pick(og.Op, name="test.pick"):
    """Another op with the same attribute."""

    count: int = 1


def test_attributes_are_coerced_to_their_annotation():
    op = Knobs(count=np.int8(3), factor=2, flag=np.True_, sizes=[np.int64(4), 5], axes=[0], dtype="f8")
    assert op.count == 3
    assert type(op.count) is int
    assert type(op.factor) is float
    assert op.flag is True
    assert op.sizes == (4, 5)
    assert type(op.sizes[0]) is int
    assert op.axes == (0,)
    assert op.dtype == np.float64


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ({"count": 1.5}, r"knobs: count=1\.5: expected an integer"),
        ({"count": True}, "knobs: count=True: expected an integer"),
        ({"factor": "x"}, "knobs: factor='x': expected a number"),
        ({"flag": 1}, "knobs: flag=1: expected True or False"),
        ({"mode": "full"}, "knobs: mode='full': expected 'same' or 'valid'"),
        ({"pair": (1, 2, 3)}, "expected a pair of integers, got 3"),
        ({"sizes": 3}, "knobs: sizes=3: expected a tuple"),
        ({"sizes": "ab"}, "knobs: sizes='ab': expected a tuple"),
        ({"dtype": "U3"}, "values are booleans, integers, floats or complex numbers"),
        ({"axes": 1.0}, "knobs: axes=1.0: expected"),
    ],
)
def test_an_attribute_that_does_not_fit_is_refused(attribute, message):
    with pytest.raises(og.ArgumentError, match=message):
        Knobs(**attribute)


def test_ops_are_equal_by_type_and_bits():
    assert Knobs() == Knobs()
    assert hash(Knobs(factor=2)) == hash(Knobs(factor=2.0))
    assert Knobs(factor=0.0) != Knobs(factor=-0.0)
    assert Knobs(factor=math.nan) == Knobs(factor=math.nan)
    assert hash(Knobs(factor=math.nan)) == hash(Knobs(factor=math.nan))
    assert Knobs(axes=()) != Knobs(axes=None)
    assert Knobs(count=2) != Pick(count=2)
    assert Knobs() != 1


def test_an_op_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Knobs().count = 2


def test_an_op_prints_its_name_and_attributes():
    assert repr(Pick(count=3)) == "test.pick(count=3)"


def test_an_op_survives_pickling():
    op = Knobs(count=3, axes=(1, 2), factor=math.nan)
    assert pickle.loads(pickle.dumps(op)) == op


@pytest.mark.parametrize("name", ["noname", "two.dots.here", "1a.b", "a.b-c", "."])
def test_a_name_is_a_namespace_and_a_name(name):
    with pytest.raises(og.ArgumentError, match="is not of the form 'namespace.name'"):
        type("Bad", (og.Op,), {}, name=name)


def test_a_name_in_the_class_body_is_pointed_out():
    with pytest.raises(og.ArgumentError, match=r"write the name as class Bad\(\.\.\., name=\.\.\.\)"):
        type("Bad", (og.Op,), {"name": "test.bad"})


def test_an_attribute_of_an_unknown_kind_is_refused():
    class Odd(og.Op, name="test.odd"):
        table: dict[str, int]

    with pytest.raises(og.ArgumentError, match="attributes cannot be annotated"):
        Odd({})


def test_the_front_door_takes_inputs_then_attributes_and_carries_the_docstring():
    class Shift(og.Elementwise, name="test.shift"):
        """Add an offset to each element."""

        inplace = True
        offset: float = 1.0

        def compute(self, ins, outs):
            np.add(ins[0], self.offset, out=outs[0])

    shift = og.front_door(Shift)
    assert shift.__doc__ == "Add an offset to each element."
    assert str(__import__("inspect").signature(shift)).startswith("(x: ")
    x = og.placeholder((2,))
    assert og.RunTime().run(shift(x, 2.5), {x: [1, 2]}).tolist() == [3.5, 4.5]
    assert og.RunTime().run(shift(x=x, offset=0.5), {x: [1, 2]}).tolist() == [1.5, 2.5]
    assert shift(og.constant(np.arange(3))).dtype == np.float32
    with pytest.raises(og.ArgumentError, match="got an unexpected keyword argument 'offst'") as caught:
        shift(x, offst=2)
    assert "test_op.py" in str(caught.value)
    with pytest.raises(og.ArgumentError, match="test.shift: offset='a': expected a number") as caught:
        shift(x, offset="a")
    assert "shift(x, offset=" in str(caught.value)


def test_a_variadic_op_takes_a_sequence_and_several_outputs_come_as_a_tuple():
    class SumAndCount(og.Op, name="test.sum_and_count"):
        """Add up any number of inputs: their sum, and how many they were."""

        inputs = ("*xs",)

        def infer(self, ins):
            return (ins[0], og.Spec(og.Shape(), np.dtype(np.int64)))

        def compute(self, ins, outs):
            outs[0][...] = sum(ins)
            outs[1][...] = len(ins)

    xs = [og.constant([1.0, 2.0]), og.constant([10.0, 20.0]), og.constant([100.0, 200.0])]
    total, number = og.front_door(SumAndCount)(xs)
    assert [v.tolist() for v in og.RunTime().run([total, number])] == [[111.0, 222.0], 3]
    assert total.name == "sum_and_count"
    assert number.name == "sum_and_count:1"
    with pytest.raises(og.GraphError, match=r"has 2 outputs; use og\.apply_all"):
        og.apply(SumAndCount(), *xs)


def test_attributes_may_not_hold_what_cannot_be_hashed():
    class Holder(og.Op, name="test.holder"):
        thing: frozenset

    assert Holder(frozenset({1})) == Holder(frozenset({1}))
    with pytest.raises(og.ArgumentError, match="expected frozenset"):
        Holder({1})


def test_inputs_are_a_tuple_of_names():
    with pytest.raises(og.ArgumentError, match=r"Bad: inputs is a tuple of names; write inputs = \('image',\)"):
        type("Bad", (og.Op,), {"inputs": ("image")}, name="test.bad_inputs")


def test_an_op_without_a_name_is_not_applied():
    class Nameless(og.Elementwise):
        """An op that forgot its name."""

    with pytest.raises(og.ArgumentError, match=r"apply: .*Nameless has no name; write class"):
        og.apply(Nameless(), og.constant(1.0))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"x": int}, "'x' names an attribute and an input; rename one"),
        ({"inplace": bool}, "'inplace' says something of the class .* write it without an annotation"),
        ({"inputs": tuple[str, ...]}, "'inputs' says something of the class"),
        ({"vjp": float}, "'vjp' says something of the class"),
    ],
)
def test_an_attribute_that_hides_something_is_refused_with_the_class(attributes, message):
    with pytest.raises(og.ArgumentError, match=f"Bad: {message}"):
        type("Bad", (og.Elementwise,), {"__annotations__": attributes, "inputs": ("x",)}, name="acme.bad")


def test_annotations_that_cannot_be_coerced_are_refused_in_words():
    class Vague(og.Op, name="acme.vague"):
        what: Any

    class Unresolved(og.Op, name="acme.unresolved"):
        what: "Missing"  # noqa: F821  # that is what is tested

    with pytest.raises(og.ArgumentError, match="attributes cannot be annotated typing.Any; they are bool"):
        Vague(1)
    with pytest.raises(og.ArgumentError, match="Unresolved: name 'Missing' is not defined; the types of attributes"):
        Unresolved(1)


def test_a_number_too_large_for_a_float_attribute_is_refused():
    class Scaled(og.Op, name="acme.scaled"):
        factor: float

    with pytest.raises(og.ArgumentError, match="factor=1000.*: int too large to convert to float"):
        Scaled(10**400)


class Halve(og.Elementwise, name="acme.halve"):
    """Half of x."""


class Masked(og.Elementwise, name="acme.masked"):
    """x where a boolean holds."""

    inputs = ("mask", "x")


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool])
def test_an_elementwise_op_of_floats_refuses_integers_when_its_node_is_made(dtype):
    x = og.placeholder((2, 3), dtype=dtype)
    hint = f"takes floating-point values, not {x.dtype}; cast first"
    for name in ("exp", "erf", "divide", "hypot"):
        op = og.registry.get(f"core.{name}")()
        with pytest.raises(og.DtypeError, match=f"^{name}: {hint}, or call og.{name}, which does") as caught:
            og.apply(op, *[x] * len(op.inputs))
        assert "test_op.py" in str(caught.value)
    with pytest.raises(og.DtypeError, match=f"^acme.halve: {hint}, or call og.ops.acme.halve, which does"):
        og.apply(Halve(), x)
    with pytest.raises(og.DtypeError, match=f"^divide_or_zero: {hint}\n"):
        og.apply(og.registry.get("core._divide_or_zero")(), x, x)


class Ordered(og.Elementwise, name="acme.ordered"):
    """x where it is larger than y."""

    inputs = ("x", "y")
    floating = False
    refuses = "bc"


@pytest.mark.parametrize(
    ("dtypes", "says"),
    [
        ((np.complex64, np.float32), "takes no complex numbers; give it their parts, og.real and og.imag, or"),
        ((np.float64, np.bool), "takes no booleans; cast them to an integer"),
    ],
)
def test_an_elementwise_op_refuses_the_dtypes_that_its_class_names(dtypes, says):
    with pytest.raises(og.DtypeError, match=f"^acme.ordered: {says}"):
        og.apply(Ordered(), *[og.placeholder((2, 3), dtype=dtype) for dtype in dtypes])
    assert og.apply(Ordered(), og.placeholder((2, 3)), og.placeholder((3,))).shape == (2, 3)


def test_an_elementwise_op_of_floats_takes_integers_beside_floats():
    mask, x = og.placeholder((2, 3), dtype=np.bool), og.placeholder((2, 3), dtype=np.float16)
    assert og.apply(Masked(), mask, x).dtype == np.float16


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int | tuple[int, int], "an integer or a pair of integers"),
        (tuple[int, ...] | None, "a tuple of integers or None"),
        (
            Literal["SAME", "VALID"] | tuple[tuple[int, int], tuple[int, int]],
            "'SAME', 'VALID' or a pair of pairs",
        ),
        (tuple[tuple[int, int], ...], "a tuple of pairs of integers"),
        (tuple[int | None, ...], "a tuple of values, each an integer or None"),
        (tuple[float, float, float], "a tuple of 3 numbers"),
        (tuple[bool, str], r"a tuple \(True or False, a string\)"),
        (np.dtype | None, "a dtype or None"),
    ],
)
def test_what_an_attribute_takes_is_said_in_words(hint, words):
    namespace = {"__annotations__": {"value": hint}, "__module__": __name__}
    op_class = type("Wordy", (og.Op,), namespace, name="acme.wordy")
    with pytest.raises(og.ArgumentError, match=f"^acme.wordy: value=1.5: expected {words}"):
        op_class(value=1.5)


@pytest.mark.parametrize("call", [lambda op, x: op(factor=3.0), lambda op, x: og.front_door(op)(x, factor=3.0)])
def test_an_attribute_without_an_annotation_is_told_from_a_mistyped_one(call):
    class Scale(og.Op, name="test.scale"):
        factor = 2.0

    message = "test.scale: factor is no attribute of the op without an annotation: factor: float = 2.0"
    with pytest.raises(og.ArgumentError, match=message) as caught:
        call(Scale, og.placeholder(()))
    assert "test_op.py" in str(caught.value)
    assert Scale() == Scale()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"tie_policy": "fist"}, "tie_policy='fist' is not 'first', 'split' or None; did you mean 'first'?"),
        ({"domain": (2, 1)}, r"domain=\(2, 1\) is not an interval \(low, high\), or one for each input"),
        ({"domain": 3}, "domain=3 is not an interval"),
        ({"domain": ((0, 1), 2)}, "is not an interval"),
        ({"domain": (0, math.nan)}, "is not an interval"),
        ({"domain": (0, 1, 2)}, "is not an interval"),
        ({"kinks": 0.0}, r"kinks=0.0 is not a tuple of numbers: kinks=\(0.0,\)"),
        ({"multilinear": 0}, r"multilinear=0 is not a tuple of inputs' numbers, from 0: multilinear=\(0,\)"),
        ({"zero_gradient": (-1,)}, r"zero_gradient=\(-1,\) is not a tuple of inputs' numbers, from 0$"),
        ({"nan_gradient": 1}, "nan_gradient=1 is not True or False"),
        ({"reference": 3}, "reference=3 is not a function of arrays"),
        ({"expected_failures": ("vjp_full",)}, "is not a mapping from checks to reasons: {'vjp_full': 'why'}"),
        ({"expected_failures": {"vjp_full": None}}, "is not a mapping from checks to reasons"),
    ],
)
def test_what_an_op_declares_wrongly_is_refused_with_the_field(fields, says):
    with pytest.raises(og.ArgumentError, match=f"OpInfo: .*{says}"):
        og.OpInfo(**fields)


def test_what_an_op_may_declare_is_taken():
    both = [(0.0, np.inf), (-1, np.float64(1))]
    og.OpInfo(np.sum, both, (0, np.float64(1.0)), [0, 1], "split", (1,), True, {"vjp_full": "on purpose"})
    assert og.OpInfo(domain=(0, 1)) == og.OpInfo(domain=(0, 1))


@pytest.mark.parametrize(
    ("arguments", "fields", "says"),
    [
        ((np.ones((4, 1)),), {}, r"inputs is an array of shape \(4, 1\), not a tuple of inputs; of one, write og.Samp"),
        ((np.float64(2.0),), {}, r"inputs is np.float64\(2.0\), not a tuple of inputs"),
        ((2.0, {}), {}, "inputs is 2.0, not a tuple of inputs"),
        (("ab",), {}, "inputs is 'ab', not a tuple of inputs"),
        (((1,), "axis"), {}, "attrs is 'axis', not a mapping"),
        (((1,),), {"raises": "ShapeError"}, "raises is 'ShapeError', not a class of exceptions"),
        (((1,),), {"id": 3}, "id is 3, not a text"),
    ],
)
def test_a_sample_that_is_none_is_refused(arguments, fields, says):
    with pytest.raises(og.ArgumentError, match=f"Sample: {says}"):
        og.Sample(*arguments, **fields)


def test_a_declaration_names_the_field_that_was_meant():
    with pytest.raises(og.ArgumentError, match="OpInfo has no field 'kink'; did you mean 'kinks'?"):
        og.OpInfo(kink=0)
    with pytest.raises(og.ArgumentError, match="Sample has no field 'attr'; did you mean 'attrs'?"):
        og.Sample((1,), attr={})
