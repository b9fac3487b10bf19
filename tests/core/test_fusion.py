"""What a plan does for speed changes no value: groups of steps, blocks, values written over others."""

import functools
import tracemalloc

import numpy as np
import pytest

import opgraph as og
from opgraph.passes.blocks import blocks_of, part_of


@pytest.fixture(autouse=True)
def graph():
    with og.Graph().as_default_graph() as graph:
        yield graph


def plan_of(program):
    (plan,) = program._executable._plans.values()
    return plan


def grouped(program):
    """The names of the steps that run together."""
    return [[step.name for step in group.steps] for group in plan_of(program).groups]


def ran(inputs, fetches, values, **settings):
    return og.RunTime(**{"threads": 1, **settings}).compile(inputs, fetches)(*values)


def test_a_chain_is_one_group_and_keeps_no_value_between():
    x = og.placeholder((1000,), np.float64)
    y = og.exp(og.tanh(x * 2.0) + 1.0)
    program = og.RunTime(tile=100, threads=1).compile([x], [y])
    values = np.linspace(-1, 1, 1000)
    np.testing.assert_array_equal(program(values)[0], np.exp(np.tanh(values * 2.0) + 1.0))
    assert grouped(program) == [["multiply", "tanh", "add", "exp"]]
    assert plan_of(program).nbytes == 8000 + 832  # what is fetched, and one block of 100 in whole cache lines


def test_what_reads_the_same_runs_together_and_what_lies_between_does_not_wait():
    a, b = og.placeholder((5, 300), np.float64, name="a"), og.placeholder((5, 300), np.float64, name="b")
    product = a * b
    total = og.reduce_sum(product)
    scaled = product * total
    program = og.RunTime(tile=300, threads=1).compile([a, b], [scaled, a - product])
    u, v = np.random.default_rng(0).normal(size=(2, 5, 300))
    found = program(u, v)
    np.testing.assert_allclose(found[0], u * v * (u * v).sum(), rtol=1e-14)
    np.testing.assert_array_equal(found[1], u - u * v)
    assert grouped(program) == [["multiply", "reduce_sum"], ["multiply_1", "subtract"]]


def test_a_value_that_a_view_shows_is_whole_before_the_view_is_read():
    x = og.placeholder((40, 30), np.float64)
    y = og.exp(x)
    z = y + og.transpose(y).reshape(40, 30)
    values = np.random.default_rng(0).normal(size=(40, 30))
    e = np.exp(values)
    np.testing.assert_array_equal(ran([x], [z], [values], tile=30)[0], e + e.T.reshape(40, 30))


def test_operands_that_broadcast_are_cut_as_their_block_needs():
    shapes = [(4, 3, 50), (1, 3, 1), (50,), (4, 1, 1), (), (3, 50)]
    xs = [og.placeholder(shape, np.float64) for shape in shapes]
    y = functools.reduce(lambda a, b: og.tanh(a) * b + b, xs)
    rng = np.random.default_rng(1)
    values = [rng.normal(size=shape) for shape in shapes]
    expected = functools.reduce(lambda a, b: np.tanh(a) * b + b, values)
    for tile in (1, 7, 49, 50, 51, 100, 151, 599, 600):
        np.testing.assert_array_equal(ran(xs, [y], values, tile=tile)[0], expected)


def test_an_op_that_reads_an_input_after_writing_is_not_run_in_place():
    condition, x = og.placeholder((100,), np.bool_), og.placeholder((100,), np.float64)
    a, b = og.exp(x), og.tanh(x)
    y = og.where(condition, a, b)
    values = np.linspace(-2, 2, 100)
    chosen = np.arange(100) % 3 == 0
    found = ran([condition, x], [y], [chosen, values], tile=10)[0]
    np.testing.assert_array_equal(found, np.where(chosen, np.exp(values), np.tanh(values)))


def test_a_value_is_written_over_one_that_nobody_needs_any_more():
    x = og.placeholder((60, 50), np.float64)
    y = x @ np.eye(50)
    for _ in range(4):
        y = (og.tanh(y) * 0.5) @ (2 * np.eye(50))
    program = og.RunTime(threads=1, tile=500).compile([x], [y])
    values = np.random.default_rng(0).normal(size=(60, 50))
    expected = values
    for _ in range(4):
        expected = np.tanh(expected)
    np.testing.assert_allclose(program(values)[0], expected, rtol=1e-12)
    assert plan_of(program).nbytes <= 2 * values.nbytes + 4096


def test_a_fetched_or_fed_value_is_never_written_over():
    x = og.placeholder((1000,), np.float64)
    y = x * 2.0
    z = y * y + 1.0
    values = np.arange(1000.0)
    program = og.RunTime(tile=100).compile([x], [y, z, x])
    found = program(values)
    np.testing.assert_array_equal(values, np.arange(1000.0))
    np.testing.assert_array_equal(found, [values * 2, values * 2 * (values * 2) + 1, values])


def test_every_pass_may_be_left_out():
    x = og.placeholder((None, 30), np.float64)
    v = og.Variable(np.ones(30), name="v")
    y = og.tanh(x * v) + v
    loss = og.reduce_sum(y * y)
    update = v - 0.1 * og.grad(loss, v)
    values = np.random.default_rng(0).normal(size=(50, 30))
    found = []
    for passes in ((), ("fuse",), ("inplace",), ("commit",), ("prune", "fuse", "commit"), None):
        v.set_val(np.ones(30))
        program = og.RunTime(passes=passes, tile=64).compile([x], [loss, y], updates={v: update})
        found.append([*program(values), v.val])
    for others in found[1:]:
        np.testing.assert_allclose(others[0], found[0][0], rtol=1e-13)
        np.testing.assert_array_equal(others[1], found[0][1])
        np.testing.assert_allclose(others[2], found[0][2], rtol=1e-13)
    with pytest.raises(og.ArgumentError, match="no pass is named 'fus'; did you mean 'fuse'"):
        og.RunTime(passes=("fus",))


@pytest.mark.parametrize("shape", [(7,), (1, 12), (3, 5), (2, 3, 4), (1, 1, 9), (6, 1, 2)])
@pytest.mark.parametrize("tile", [1, 2, 4, 5, 100])
def test_blocks_cover_every_element_once_and_in_order(shape, tile):
    whole = np.arange(np.prod(shape)).reshape(shape)
    blocks = blocks_of(shape, tile)
    parts = [whole[block] for block in blocks]
    assert np.concatenate([part.ravel() for part in parts]).tolist() == whole.ravel().tolist()
    assert all(part.flags.c_contiguous and part.size <= tile for part in parts)
    for other in [shape[1:], (1,) * len(shape), (*shape[:-1], 1), (1, *shape[1:])]:
        broadcast = np.broadcast_to(np.arange(np.prod(other)).reshape(other), shape)
        cut = np.arange(np.prod(other)).reshape(other)
        for block, part in zip(blocks, parts, strict=True):
            mine = cut[part_of(other, len(shape), block)]
            np.testing.assert_array_equal(np.broadcast_to(mine, part.shape), broadcast[block])


class Failing(og.Elementwise, name="tests.failing"):
    """Fail where the first element of a block is 7."""

    def compute(self, ins, outs):
        (x,), (y,) = ins, outs
        if x.size and x.flat[0] == 7:
            raise ZeroDivisionError("seven")
        np.copyto(y, x)

    def vjp(self, ins, outs, cotangents):
        return cotangents


@pytest.mark.parametrize("threads", [1, 2])
def test_a_kernel_that_fails_on_one_block_is_named_and_later_runs_are_right(threads):
    x = og.placeholder((20, 70_000), np.float64)
    v = og.Variable(0.0, name="v", dtype=np.float64)
    y = og.exp(og.apply(Failing(), x * 1.0)) + 1.0  # this line
    program = og.RunTime(threads=threads).compile([x], [y], updates={v: v + og.reduce_max(y)})
    values = np.zeros((20, 70_000))
    values[13, 0] = 7
    for _ in range(3):
        with pytest.raises(og.KernelError, match=r"failing: its kernel raised ZeroDivisionError: seven") as caught:
            program(values)
        assert "# this line" in str(caught.value)
        assert v.val == 0.0
    (found,) = program(np.zeros((20, 70_000)))
    assert (found == 2.0).all()
    assert v.val == 2.0


def test_memory_of_a_result_serves_again_only_when_nobody_has_it():
    x = og.placeholder((None,), np.float64)
    program = og.RunTime().compile([x], [x * 2.0])
    values = np.arange(100_000.0)
    first = program(values)[0]
    view = program(values + 1)[0][5:9]
    third = program(values + 2)[0]
    assert not np.shares_memory(first, third)
    assert not np.shares_memory(view, third)
    held = memoryview(third)
    del third
    reference = program(values + 3)[0]
    program(values + 4)
    np.testing.assert_array_equal(first, values * 2)
    np.testing.assert_array_equal(view, (values[5:9] + 1) * 2)
    np.testing.assert_array_equal(np.asarray(held), (values + 2) * 2)
    np.testing.assert_array_equal(reference, (values + 3) * 2)
    last = program(values + 5)[0]
    address = last.ctypes.data
    del last, reference
    assert program(values)[0].ctypes.data == address


def test_views_of_what_is_fed_follow_each_run_s_feed():
    for n in (3, 90_000):  # one that is copied, and one that is not
        x = og.placeholder((2, n), np.float64)
        y = x[1, ::-1] * 2.0 + og.transpose(x)[:, 0]
        program = og.RunTime(threads=1).compile([x], [y, x[0]])
        for seed in range(3):
            values = np.random.default_rng(seed).normal(size=(2, n))
            found = program(values)
            np.testing.assert_array_equal(found[0], values[1, ::-1] * 2.0 + values[0])
            np.testing.assert_array_equal(found[1], values[0])
            values[:] = 0
            assert found[1].any()


@pytest.mark.parametrize("rows", [4_000, 20_000], ids=["copied", "made there"])
@pytest.mark.parametrize(
    "change",
    [
        lambda array: setattr(array, "shape", (-1,)),
        lambda array: setattr(array, "dtype", np.int32),
        lambda array: setattr(array, "dtype", array.dtype.newbyteorder()),
        lambda array: array.resize((3,), refcheck=False),
        lambda array: array.setflags(write=False),
    ],
    ids=["shape", "dtype", "byte order", "size", "flags"],
)
def test_memory_of_a_result_that_was_changed_in_place_does_not_serve_again(rows, change):
    x = og.placeholder((None, 10), np.float32)
    program = og.RunTime().compile([x], [x * 2.0 + 1.0])
    for i in range(4):
        (result,) = program(np.full((rows, 10), i, np.float32))
        assert (result.shape, result.dtype, result.flags.writeable) == ((rows, 10), np.float32, True)
        assert (result == 2.0 * i + 1.0).all()
        change(result)
        del result


def test_memory_of_results_serves_again_though_one_of_them_is_kept():
    x = og.placeholder((None,), np.float64)
    program = og.RunTime().compile([x], [x * 2.0])
    kept = program(np.ones(100_000))[0]
    addresses = []
    result = None
    for i in range(8):
        result = program(np.full(100_000, float(i)))[0]
        addresses.append(result.ctypes.data)
    assert len(set(addresses[2:])) == 2
    assert (kept == 2.0).all()
    assert (result == 14.0).all()


REDUCTIONS = {
    "reduce_sum": np.sum,
    "reduce_prod": np.prod,
    "reduce_max": np.max,
    "reduce_min": np.min,
    "reduce_mean": np.mean,
    "reduce_any": np.any,
    "reduce_all": np.all,
}


@pytest.mark.parametrize("tile", [7, 30, 64, 1 << 17])
@pytest.mark.parametrize("name", REDUCTIONS)
def test_what_is_reduced_block_by_block_is_what_numpy_makes_of_the_whole(name, tile, monkeypatch):
    monkeypatch.setattr("opgraph.passes.calls.WORTH_SHARING", 0)
    monkeypatch.setattr("opgraph.passes.bind.REDUCES", 1)
    values = np.random.default_rng(3).normal(size=(6, 5, 8)) * 0.5 + 1
    x = og.placeholder((None, None, 8), np.float64)
    y = og.tanh(x) * 1.5
    expected = np.tanh(values) * 1.5
    if name in ("reduce_any", "reduce_all"):
        y, expected = y < 0.2, expected < 0.2
    function = getattr(og, name)
    axes = [None, 0, 1, 2, -1, (0, 1), (1, 2), (0, 2)]
    fetches = [function(y, axis, keepdims) for axis in axes for keepdims in (False, True)]
    found, shared = (og.RunTime(threads=threads, tile=tile).compile([x], [*fetches, y])(values) for threads in (1, 2))
    wanted = [REDUCTIONS[name](expected, axis=axis, keepdims=keepdims) for axis in axes for keepdims in (False, True)]
    for value, same, right in zip(found, shared, [*wanted, expected], strict=True):
        assert (value.shape, value.dtype) == (right.shape, right.dtype)
        np.testing.assert_allclose(value, right, rtol=1e-12)
        assert value.tobytes() == same.tobytes()


def test_a_value_that_is_only_summed_up_is_nowhere_in_memory():
    x = og.placeholder((100_000,), np.float64)
    program = og.RunTime(tile=1000, threads=1).compile([x], [og.reduce_sum(og.exp(x) * 2.0)])
    np.testing.assert_allclose(program(np.zeros(100_000))[0], 200_000, rtol=1e-14)
    assert grouped(program) == [["exp", "multiply", "reduce_sum"]]
    assert plan_of(program).nbytes < 20_000


def test_a_sum_that_its_own_group_would_need_is_there_before():
    x = og.placeholder((4, 300), np.float64)
    y = og.exp(x)
    z = y / og.reduce_sum(y)
    program = og.RunTime(tile=300, threads=1).compile([x], [z, og.reduce_max(z)])
    values = np.random.default_rng(0).normal(size=(4, 300))
    expected = np.exp(values) / np.exp(values).sum()
    for found, right in zip(program(values), (expected, expected.max()), strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-12)


def test_nan_wins_in_every_block():
    x = og.placeholder((1000,), np.float64)
    values = np.arange(1000.0)
    values[777] = np.nan
    y = x * 1.5
    found = og.RunTime(tile=100, threads=1).compile([x], [og.reduce_max(y), og.reduce_min(y), og.reduce_sum(y)])(values)
    assert np.isnan(found).all()


def test_what_is_reduced_and_handed_out_in_its_own_memory_is_both():
    x = og.placeholder((1000, 200), np.float64)
    y = og.exp(x)
    program = og.RunTime(tile=10_000, threads=1).compile([x], [y, og.reduce_sum(y, 0), og.reduce_max(y)])
    for scale in (1.0, 2.0):
        values = np.random.default_rng(0).normal(size=(1000, 200)) * scale
        whole, columns, largest = program(values)
        np.testing.assert_array_equal(whole, np.exp(values))
        np.testing.assert_allclose(columns, np.exp(values).sum(0), rtol=1e-12)
        assert largest == np.exp(values).max()


def test_narrow_floats_are_summed_in_wider_ones_all_the_same():
    x = og.placeholder((70_000,), np.float16)
    (found,) = og.RunTime(tile=1000, threads=1).compile([x], [og.reduce_sum(x * np.float16(0.5))])(np.ones(70_000))
    assert found == np.float16(35_000)


@pytest.fixture
def by_rows(monkeypatch):
    """Products of any size may be made by rows."""
    monkeypatch.setattr("opgraph.passes.bind.LARGE_PRODUCT", 1)
    monkeypatch.setattr("opgraph.passes.bind.THIN_PRODUCT", 1 << 30)
    monkeypatch.setattr("opgraph.passes.calls.WORTH_SHARING", 0)


def agreed(inputs, fetches, values, tile):
    """The program with this tile, whose results are those without passes, the same bits for one thread and two."""
    program = og.RunTime(threads=1, tile=tile).compile(inputs, fetches)
    found, shared = program(*values), og.RunTime(threads=2, tile=tile).compile(inputs, fetches)(*values)
    for value, same, right in zip(found, shared, ran(inputs, fetches, values, passes=()), strict=True):
        np.testing.assert_allclose(value, right, rtol=1e-12, atol=1e-12)
        assert value.tobytes() == same.tobytes()
    return program


@pytest.mark.parametrize("tile", [5, 12, 40, 1000])
@pytest.mark.parametrize("lead", [(7,), (3, 5)])
def test_a_product_and_what_is_done_with_it_run_block_by_block(lead, tile, by_rows):
    rng = np.random.default_rng(0)
    x, w, b = og.placeholder((None, *lead[1:], 6), np.float64), og.Variable(rng.normal(size=(6, 5))), np.arange(5.0)
    y = og.maximum(og.matmul(x, w) + b, 0.0)
    program = agreed([x], [y], [rng.normal(size=(*lead, 6))], tile)
    row = np.prod([*lead[1:], 5])
    names = [["matmul", "add", "maximum"]]
    assert grouped(program) == (names if row <= tile else [["matmul"], ["add", "maximum"]])


def test_a_product_s_gradient_goes_on_in_the_block_that_it_is_made_in(by_rows):
    rng = np.random.default_rng(0)
    x = og.placeholder((30, 6), np.float64)
    w, u = og.Variable(rng.normal(size=(6, 8))), og.Variable(rng.normal(size=(8, 4)))
    h = og.tanh(x @ w)
    y = og.reduce_sum(og.square(h @ u) * 0.5)
    program = agreed([x], [y, *og.grad(y, [w, u])], [rng.normal(size=(30, 6))], 16)
    assert any(names[0].startswith("matmul") and len(names) > 2 for names in grouped(program))


def test_large_feeds_two_products_and_other_readers_agree(by_rows):
    rng = np.random.default_rng(0)
    x, z = og.placeholder((300, 40), np.float64), og.placeholder((300, 50), np.float64)
    w, u = og.Variable(rng.normal(size=(40, 20))), og.Variable(rng.normal(size=(50, 20)))
    product = x @ w
    y = og.tanh(product + z @ u)
    agreed(
        [x, z], [y, og.reduce_max(product), product.T[:2], y @ u.T], [rng.normal(size=(300, n)) for n in (40, 50)], 100
    )


def test_what_every_block_reads_as_a_whole_is_not_written_over_by_the_first(by_rows):
    rng = np.random.default_rng(0)
    x = og.placeholder((8, 8), np.float64)
    left, right = og.sin(x), og.cos(x).T * 2.0
    agreed([x], [og.exp((left @ right) * 0.1) + 1.0], [rng.normal(size=(8, 8))], 8)


def test_a_variable_s_step_is_still_written_in_place(by_rows):
    rng = np.random.default_rng(0)
    x, w = og.placeholder((5, 6), np.float64), og.Variable(rng.normal(size=(6, 5)))
    y = og.reduce_sum(og.square(x @ w))
    program = og.RunTime(threads=1).compile([x], [y], updates={w: w - og.grad(y, w) * 0.01})
    program(rng.normal(size=(5, 6)))
    assert not plan_of(program).staged


def test_a_kernel_set_s_kernel_is_not_taken_at_its_op_s_word_about_working_in_place(monkeypatch):
    def run(ins, outs):
        outs[0].fill(0)
        np.add(outs[0], ins[0], outs[0])  # too late, where they are one

    kernels = {"core.tanh": lambda op, ins, outs: og.Kernel(run, blocks=True)}
    monkeypatch.setattr("opgraph.runtime.get_kernels", {"mine": kernels}.get)
    x = og.placeholder((50,), np.float64)
    program = og.RunTime(kernels=("mine",), tile=7, threads=1).compile([x], [og.tanh(og.tanh(x + 1.0)) * 2.0])
    np.testing.assert_array_equal(program(np.arange(50.0))[0], (np.arange(50.0) + 1) * 2)


def test_what_blocks_give_is_counted_and_small():
    x = og.placeholder((64, 30_000), np.float64)
    program = og.RunTime(threads=1, tile=30_000).compile([x], [og.reduce_sum(og.tanh(x) * x, 0)])
    program(np.ones((64, 30_000)))
    assert plan_of(program).nbytes < 64 * 30_000 * 8 + 2_000_000
    wide = og.RunTime(threads=1, tile=1000).compile([x], [og.reduce_sum(og.tanh(x) * x)])
    tracemalloc.start()
    try:
        wide(np.ones((64, 30_000)))
        used = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert plan_of(wide).nbytes <= used


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_read_backwards_has_the_same_bits_in_blocks_of_any_size_and_in_stacks(dtype):
    values = np.random.default_rng(3).normal(size=(132, 1000)).astype(dtype)
    x = og.placeholder((132, 1000), dtype=dtype)
    backwards = [x[:, ::-1], og.flip(x, 1), og.transpose(og.transpose(x)[::-1]), x[::-1, ::-1]]
    fetches = [og.maximum(f(y), y) for y in backwards for f in (og.exp, og.expm1)]
    fetches += [og.stack([og.expm1(x[i, 40::-1]) for i in range(8)])]
    columns, both = values[:, ::-1].copy(), values[::-1, ::-1].copy()
    expected = [np.maximum(f(y), y) for y in (columns, columns, columns, both) for f in (np.exp, np.expm1)]
    expected += [np.expm1(values[:8, 40::-1].copy())]
    for tile in (1000, 5000, 1 << 16, 1 << 20):
        for found, wanted in zip(og.RunTime(tile=tile).run(fetches, {x: values}), expected, strict=True):
            assert found.tobytes() == wanted.tobytes()
