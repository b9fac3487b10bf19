"""Einsums: every form that NumPy takes, their errors, and gradients of all of it."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opgraph as og
from opgraph.ops._contraction import Term, contract
from opgraph.ops.einsums import Einsum
from opgraph.testing import check_grads

SIZES = {"a": 2, "b": 3, "c": 4, "Z": 5}
UNDER_ELLIPSIS = (2, 3)


@st.composite
def einsums(draw, operands=3, dims=3):
    """Draw subscripts with shapes that fit them: repeated indices, sizes of 1, ellipses, spaces."""
    terms, shapes = [], []
    for _ in range(draw(st.integers(1, operands))):
        letters = draw(st.lists(st.sampled_from(sorted(SIZES)), max_size=dims))
        narrow = draw(st.sets(st.sampled_from(sorted(SIZES)))) if draw(st.booleans()) else set()
        shape = [1 if c in narrow else SIZES[c] for c in letters]
        if draw(st.integers(0, 3)) == 0:
            at = draw(st.integers(0, len(letters)))
            under = list(UNDER_ELLIPSIS[draw(st.integers(0, 2)) :])
            if under and draw(st.booleans()):
                under[0] = 1
            letters.insert(at, "...")
            shape[at:at] = under
        terms.append("".join(letters))
        shapes.append(tuple(shape))
    subscripts = ",".join(terms)
    if draw(st.booleans()):
        used = sorted(set(subscripts) - set(",."))
        output = draw(st.permutations(used))[: draw(st.integers(0, len(used)))] if used else []
        if "..." in subscripts:
            output.insert(draw(st.integers(0, len(output))), "...")
        subscripts += draw(st.sampled_from(["->", " -> "])) + "".join(output)
    return subscripts, shapes


@settings(max_examples=200, deadline=None)
@given(einsums(), st.booleans(), st.integers(0, 9))
def test_values_are_numpy_s(drawn, unknown, seed):
    subscripts, shapes = drawn
    arrays = [np.random.default_rng(seed).normal(size=shape) for shape in shapes]
    with og.Graph().as_default_graph():
        nodes = [og.placeholder([None] * x.ndim if unknown else x.shape, dtype=x.dtype) for x in arrays]
        y = og.einsum(subscripts, *nodes)
        found = og.RunTime().run(y, dict(zip(nodes, arrays, strict=True)))
    expected = np.einsum(subscripts, *arrays)
    assert found.shape == expected.shape
    assert y.shape.compatible_with(expected.shape)
    assert unknown or y.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@settings(max_examples=60, deadline=None)
@given(einsums(dims=2), st.booleans())
def test_gradients_are_the_adjoint_of_what_is_linear_in_each_operand(drawn, unknown):
    subscripts, shapes = drawn
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=s) + 1j * rng.normal(size=s) for s in shapes]
    g = rng.normal(size=np.einsum(subscripts, *arrays).shape) * (1 + 2j)
    with og.Graph().as_default_graph():
        nodes = [og.placeholder([None] * x.ndim if unknown else x.shape, dtype=x.dtype) for x in arrays]
        gradients = og.grad(og.einsum(subscripts, *nodes), nodes, og.constant(g))
        found = og.RunTime().run(gradients, dict(zip(nodes, arrays, strict=True)))
    for k, gradient in enumerate(found):
        direction = rng.normal(size=shapes[k])
        moved = np.einsum(subscripts, *arrays[:k], direction, *arrays[k + 1 :])
        np.testing.assert_allclose(np.vdot(gradient, direction), np.vdot(g, moved), rtol=1e-9, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(einsums(dims=2), st.booleans())
def test_gradients_agree_with_finite_differences_through_second_order(drawn, unknown):
    subscripts, shapes = drawn
    arrays = [np.random.default_rng(5).normal(size=shape) for shape in shapes]
    with og.Graph().as_default_graph():
        nodes = [og.placeholder([None] * x.ndim if unknown else x.shape, dtype=x.dtype) for x in arrays]
        check_grads(og.einsum(subscripts, *nodes), nodes, dict(zip(nodes, arrays, strict=True)), order=2)


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ii->", [(3, 3)]),
        ("iij->ji", [(3, 3, 2)]),
        ("nd,nn->d", [(3, 2), (3, 3)]),
        ("i,i->i", [(1,), (4,)]),
        ("i,i->", [(1,), (4,)]),
        ("ii,i->i", [(1, 1), (3,)]),
        ("...ij,...jk", [(5, 1, 2, 3), (4, 3, 2)]),
        ("...i,i...->...", [(2, 3), (3, 1)]),
        ("i,i,i->", [(3,), (1,), (3,)]),
        ("ij,jk,kl,lm->im", [(2, 3), (3, 4), (4, 1), (1, 2)]),
        (",", [(), ()]),
    ],
)
@pytest.mark.parametrize("unknown", [False, True])
def test_gradients_of_the_delicate_forms(subscripts, shapes, unknown):
    arrays = [np.random.default_rng(5).normal(size=shape) for shape in shapes]
    nodes = [og.placeholder([None] * x.ndim if unknown else x.shape, dtype=x.dtype) for x in arrays]
    y = og.einsum(subscripts, *nodes)
    check_grads(y, nodes, dict(zip(nodes, arrays, strict=True)), order=2)


def test_the_gradient_of_a_trace_is_the_identity_matrix():
    x = og.placeholder((None, None))
    assert og.RunTime().run(og.grad(og.einsum("ii", x), x), {x: np.ones((3, 3))}).tolist() == np.eye(3).tolist()


def test_without_an_output_indices_that_occur_once_come_in_alphabetical_order_capitals_first():
    x = og.constant(np.zeros((2, 3, 4)))
    assert og.einsum("bXa", x).shape == (3, 4, 2)
    assert og.einsum("b...a", x).shape == (3, 4, 2)
    assert og.einsum(" b X a -> a ", x).call.op == Einsum("bXa->a")


def test_one_operand_that_is_only_rearranged_is_a_view():
    x = og.placeholder((2, 3, 3))
    y = og.einsum("iaa->ai", x)
    data = np.arange(18, dtype=np.float32).reshape(2, 3, 3)
    (view,) = y.call.op.view((data,))
    assert np.shares_memory(view, data)
    np.testing.assert_array_equal(og.RunTime().run(y, {x: data}), np.einsum("iaa->ai", data))


def test_unknown_sizes_follow_from_the_other_operands():
    x, y = og.placeholder((None, 3)), og.placeholder((None, None))
    assert og.einsum("ij,jk->ik", x, y).shape == (None, None)
    assert og.einsum("ij,ij->ij", x, og.placeholder((2, 1))).shape == (2, 3)
    assert og.einsum("ij,ij->ij", x, y).shape == (None, 3)
    assert og.einsum("ii->i", og.placeholder((None, 3))).shape == (3,)


@pytest.mark.parametrize(
    ("subscripts", "shapes", "error", "message"),
    [
        ("ij->ik", [(2, 3)], og.ArgumentError, "the output's index 'k' is in no operand"),
        ("ij->ii", [(2, 3)], og.ArgumentError, "the output names 'i' twice"),
        ("ij,jk", [(2, 3)], og.ArgumentError, "names 2 operands, got 1"),
        ("ij", [(2, 3), (2, 3)], og.ArgumentError, "names 1 operands, got 2"),
        ("i1->i", [(2, 3)], og.ArgumentError, "'1' in 'i1' is neither a letter nor part of one '...'"),
        ("i.j->i", [(2, 3)], og.ArgumentError, "'\\.' in 'i.j' is neither a letter"),
        ("...i...->i", [(2, 3)], og.ArgumentError, "neither a letter nor part of one '...'"),
        ("i->j->i", [(2,)], og.ArgumentError, "'-' in 'j->i' is neither a letter"),
        ("...i->i", [(2, 3)], og.ArgumentError, "the output lacks the dimensions of the ellipsis"),
        ("ijk->i", [(2, 3)], og.ShapeError, "operand 0 has 2 dimensions, which 'ijk' does not name"),
        ("i->i", [(2, 3)], og.ShapeError, "operand 0 has 2 dimensions, which 'i' does not name"),
        ("i...j->i...", [(2,)], og.ShapeError, "operand 0 has 1 dimensions"),
        ("ij,jk", [(2, 3), (4, 5)], og.ShapeError, r"\(2, 3\) and \(4, 5\): index 'j' has sizes 3 and 4"),
        ("...,...", [(2, 3), (4, 3)], og.ShapeError, "dimension -2 of the ellipsis has sizes 2 and 4"),
        ("ii", [(2, 3)], og.ShapeError, r"index 'i' stands for sizes 2 and 3 of \(2, 3\), operand 0"),
        ("ii", [(1, 3)], og.ShapeError, "index 'i' stands for sizes 1 and 3"),
    ],
)
def test_a_mistake_is_told_when_the_node_is_made(subscripts, shapes, error, message):
    with pytest.raises(error, match=f"einsum: .*{message}") as caught:
        og.einsum(subscripts, *[og.placeholder(shape) for shape in shapes])
    assert "og.einsum(subscripts" in str(caught.value)


def test_sizes_that_do_not_agree_are_told_in_the_run_where_they_were_unknown():
    x, y, z = og.placeholder((None, 3)), og.placeholder((None,)), og.placeholder((None, None))
    with pytest.raises(og.ShapeError, match="einsum: .*index 'i' has sizes 2 and 4"):
        og.RunTime().run(og.einsum("ij,i", x, y), {x: np.ones((2, 3)), y: np.ones(4)})
    with pytest.raises(og.ShapeError, match="einsum: .*index 'i' stands for sizes 2 and 3"):
        og.RunTime().run(og.einsum("ii", z), {z: np.ones((2, 3))})


def test_lists_of_numbers_and_missing_operands_are_refused_with_advice():
    x = og.placeholder((2, 3))
    with pytest.raises(
        og.ArgumentError, match="subscripts come first, as a string: .* Write lists of numbers as letters"
    ):
        og.einsum(x, [0, 1])
    with pytest.raises(og.ArgumentError, match="'ij' without operands"):
        og.einsum("ij")
    with pytest.raises(og.DtypeError, match="einsum: booleans are not summed; cast them"):
        og.einsum("ij->i", x > 0)


def test_integers_and_mixed_dtypes_are_promoted():
    i = np.arange(6).reshape(2, 3)
    found = og.einsum("ij,ij->i", og.constant(i), i)
    assert found.dtype == np.int64
    assert og.RunTime().run(found).tolist() == [5, 50]
    assert og.einsum("ij,j->i", og.placeholder((2, 3)), np.arange(3)).dtype == np.float32
    assert og.einsum("i,->i", og.placeholder((2,)), 2.0).dtype == np.float32


def test_float16_is_summed_in_float32():
    ones = og.constant(np.ones((4096, 2), np.float16))
    found = og.RunTime().run(
        [og.einsum("ij->j", ones), og.einsum("ij,ij->j", ones, ones), og.einsum("ij,ik", ones, ones)]
    )
    assert [f.dtype for f in found] == [np.float16] * 3
    assert all((f == 4096).all() for f in found)  # float16 itself stops at 2048 + 1
    assert og.RunTime().run(og.einsum("i,i->", np.full(2, 300, np.float16), np.array([300, -300], np.float16))) == 0


LARGE = {"a": 11, "b": 12, "i": 13, "j": 14, "k": 15}


@pytest.mark.parametrize("layout", ["C", "F", "step", "reversed", "broadcast"])
@pytest.mark.parametrize(
    "subscripts",
    [
        *("ij,jk->ik", "ji,jk->ik", "ij,kj->ki", "aij,ajk->aik", "iaj,kaj->aik", "iaj,ajk->iak", "aij,bjk->abik"),
        *("abij,bjk->aik", "ijk,kj->i", "ij,j->i", "ij,i->j", "ij,ij->", "ij,ij->j", "aij,aj->ai", "ija,ja->ia"),
        *("ij,ab->iajb", "ij,k->", "ija,jb->aib", "ij,jk,ka->ai", "ij,ij,ij->j", "i,ij,j->", "ijk->ki", "ijk->"),
    ],
)
@pytest.mark.parametrize("dtype", [np.float64, np.complex64, np.int32])
def test_large_operands_in_any_layout_go_the_fast_ways_to_the_same_values(subscripts, layout, dtype):
    rng = np.random.default_rng(0)
    terms, target = subscripts.split("->")[0].split(","), subscripts.split("->")[1]

    def laid_out(shape):
        x = rng.integers(-9, 9, [2 * n for n in shape]).astype(dtype) * dtype(1 + 1j if dtype == np.complex64 else 1)
        smaller = np.ascontiguousarray(x[tuple(slice(n) for n in shape)])
        match layout:
            case "C":
                return smaller
            case "F":
                return np.asfortranarray(smaller)
            case "step":
                return x[(slice(None, None, 2),) * len(shape)]
            case "reversed":
                return smaller[(slice(None, None, -1),) * len(shape)]
        return np.broadcast_to(smaller[..., :1], shape)

    arrays = [laid_out(tuple(LARGE[c] for c in term)) for term in terms]
    expected = np.einsum(subscripts, *arrays)
    out = np.full(expected.shape, 77, dtype)
    contract([Term(tuple(t), x) for t, x in zip(terms, arrays, strict=True)], tuple(target), out)
    np.testing.assert_allclose(out, expected, rtol=1e-5 if dtype == np.complex64 else 1e-12)


def test_dimensions_without_elements_sum_to_zero():
    for shapes in itertools.product([(0, 3), (2, 0)], [(0, 4)]):
        x, y = (np.ones(shape) for shape in shapes)
        if x.shape[1] in (1, y.shape[0]):
            assert og.RunTime().run(og.einsum("ij,jk->ik", x, y)).tolist() == np.zeros((2, 4)).tolist()
    x = og.placeholder((None, None), dtype=np.float64)
    gradient = og.grad(og.einsum("ij,ij->j", x, x), x)
    assert og.RunTime().run(gradient, {x: np.ones((0, 3))}).shape == (0, 3)
