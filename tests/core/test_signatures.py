"""Signatures are readable, and wrong calls say them."""

import dataclasses
import inspect
import pickle

import pytest

import opgraph as og


@pytest.mark.parametrize(
    ("function", "shown"),
    [
        (og.where, "(condition: NodeLike, x: NodeLike, y: NodeLike) -> Node"),
        (og.reduce_sum, "(x: NodeLike, axis: Axes = None, keepdims: bool = False) -> Node"),
        (og.gather, "(x: NodeLike, indices: NodeLike, axis: SupportsIndex = 0) -> Node"),
        (og.add, "(x: NodeLike, y: NodeLike)"),
        (og.vjp, "(ys: Node | Several, xs: Node | Several, cotangents: NodeLike | Sequence[NodeLike])"),
        (og.placeholder, "(shape: ShapeLike, dtype: DtypeLike = None, name: str | None = None) -> Placeholder"),
        (og.RunTime.run, "(self, fetches: Node | Sequence[Node], feeds: Mapping[Any, Any] | None = None)"),
    ],
)
def test_a_signature_shows_names_as_they_are_written(function, shown):
    assert str(inspect.signature(function)).startswith(shown)


def test_a_plugin_s_door_shows_names_as_they_are_written():
    def door(x: "og.NodeLike", y: "og.NodeLike | None" = None, *, n: int = 2) -> "og.Node":
        return x

    assert str(inspect.signature(og.guarded(door))) == "(x: NodeLike, y: NodeLike | None = None, *, n: int = 2) -> Node"


@pytest.mark.parametrize("name", [n for n in og.registry.names() if "._" not in n])
def test_no_signature_is_longer_than_what_one_reads(name):
    signature = str(inspect.signature(og.registry.get_function(name)))
    assert len(signature) < 250
    assert "Union" not in signature
    assert "'NodeLike" not in signature


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (
            lambda x: og.reduce_sum(x, dim=1),
            "reduce_sum: got an unexpected keyword argument 'dim'; did you mean 'axis'?",
        ),
        (lambda x: x.sum(dim=1), "sum: got an unexpected keyword argument 'dim'; did you mean 'axis'?"),
        (lambda x: og.gather(x), "gather: missing a required argument: 'indices'"),
        (lambda x: og.add(x, x, x), "add: too many positional arguments"),
        (lambda x: og.expand_dims(x, axs=1), "did you mean 'axis'?\n  expand_dims(x: NodeLike, axis: "),
        (lambda x: og.RunTime().run(x, x=1.0), "run: got an unexpected keyword argument 'x'\n  run(fetches: "),
        (lambda x: og.RunTime(sed=1), "RunTime: got an unexpected keyword argument 'sed'; did you mean 'seed'?"),
        (lambda x: og.RunTime(x, x, 1, 2, 3, 4, 5), "RunTime: too many positional arguments\n  RunTime(kernels: "),
        (lambda x: og.Variable(), "Variable: missing a required argument: 'value'"),
        (lambda x: og.trace(x, axs=1), "trace: got an unexpected keyword argument 'axs'"),
        (
            lambda x: x.graph.initialize_variables(var=3),
            "initialize_variables: got an unexpected keyword argument 'var'",
        ),
        (lambda x: og.RunTime().compile([x], [x])(1.0, x=1.0), "Program: got an unexpected keyword argument 'x'"),
    ],
)
def test_a_wrong_call_says_the_signature_and_the_line(use, message):
    with pytest.raises(og.ArgumentError) as caught:
        use(og.placeholder((2, 3), name="x"))
    assert message in str(caught.value)
    assert caught.value.notes[-1].startswith("at test_signatures.py")
    assert isinstance(caught.value, TypeError)


def test_a_guard_leaves_errors_from_inside_alone():
    @og.guarded
    def door(x):
        return x + inner()

    def inner(x):
        return x

    with pytest.raises(TypeError, match="inner.. missing 1 required positional argument") as caught:
        door(1)
    assert not isinstance(caught.value, og.OpgraphError)


def test_a_guarded_class_says_its_own_name():
    @og.guarded
    @dataclasses.dataclass
    class Model:
        width: int

    assert Model(3).width == 3
    with pytest.raises(
        og.ArgumentError, match=r"Model: got an unexpected keyword argument 'witdh'; did you mean 'width'"
    ):
        Model(witdh=3)


def test_a_class_without_an_init_of_its_own_stays_as_it_is():
    @og.guarded
    class Empty:
        """Nothing."""

    assert Empty.__init__ is object.__init__


def test_a_method_that_is_given_nothing_says_its_own_signature():
    with pytest.raises(og.ArgumentError, match=r"astype: missing a required argument: 'dtype'\n  astype\(dtype: "):
        og.placeholder(()).astype()


def test_a_front_door_can_be_pickled():
    assert pickle.loads(pickle.dumps(og.where)) is og.where
