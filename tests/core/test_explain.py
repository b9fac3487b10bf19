"""What a run would do, told before it does: instructions, what they cost, and where values lie."""

import importlib.util
import sys

import numpy as np
import pytest

import opgraph as og


@pytest.fixture
def rt():
    return og.RunTime(threads=1)


def built(text):
    """Run `text` as a user's file named net.py, and return its variables."""
    namespace = {"og": og, "np": np, "__name__": "net"}
    exec(compile(text, "/home/ann/net.py", "exec"), namespace)
    return namespace


def flops(node, **settings):
    return og.RunTime(threads=1, **settings).explain(node).flops


def test_a_chain_is_one_instruction_and_counts_what_goes_in_and_out():
    x = og.placeholder((1000,), np.float64)
    y = og.exp(og.tanh(x * 2.0) + 1.0)
    explanation = og.RunTime(tile=100, threads=1).explain(y)
    (each,) = explanation.instructions
    assert each.number == 1
    assert each.steps == ("multiply", "tanh", "add", "exp")
    assert each.outputs == (og.Spec(og.Shape(1000), np.dtype(np.float64)),)
    assert each.kernels == ("ufunc",) * 4
    assert (each.blocks, each.threads) == (10, 1)
    assert each.bytes_read == 1000 * 8 + 2 * 8  # x, and the two constants
    assert each.bytes_written == 1000 * 8
    assert each.flops == 4 * 1000
    assert each.buffers == ("arena 0",)
    assert each.within == 3
    assert [source.file for source in each.sources] == ["test_explain.py"]
    assert (explanation.arena, explanation.scratch, explanation.staging) == (8000, 832, 0)  # 832: 100 in cache lines
    assert explanation.nbytes == 8832
    assert explanation.returned == 8000
    assert (explanation.calls, explanation.steps, explanation.computed) == (4, 4, 4)


def test_a_large_result_is_made_in_what_is_returned_and_counts_as_written():
    x = og.placeholder((512, 1024), np.float32)
    explanation = og.RunTime(threads=1, tile=1 << 10).explain([og.exp(x) * 2.0, og.reduce_sum(x)])
    chain, total = explanation.instructions
    assert (chain.bytes_read, chain.bytes_written, chain.within) == ((2 << 20) + 4, 2 << 20, 1)  # x, and the constant
    assert chain.outputs == (og.Spec(og.Shape(512, 1024), np.dtype(np.float32)),)
    assert chain.buffers == ("returned",)
    assert total.bytes_written == 4
    assert explanation.bytes_written == (2 << 20) + 4
    assert explanation.returned == (2 << 20) + 4
    assert explanation.scratch == 1024 * 4  # the exponentials of one block


def test_passes_say_how_many_steps_they_removed():
    x = og.placeholder((3,))
    y = og.transpose(og.transpose(og.exp(x) + og.exp(x))) * 1.0
    of_all = og.RunTime(threads=1).explain(y)
    assert of_all.calls == 6
    assert of_all.steps == 2  # one exp, one sum
    assert sum(of_all.passes.values()) == 2 - 6
    assert list(of_all.passes) == ["simplify", "stabilize", "fold_constants", "eliminate_common", "prune"]
    assert of_all.plan_passes == ("batch", "order", "fuse", "inplace", "commit")
    of_some = og.RunTime(threads=1, passes=("prune", "fuse")).explain(y)
    assert (of_some.calls, of_some.steps, of_some.passes, of_some.plan_passes) == (6, 6, {"prune": 0}, ("fuse",))
    assert of_some.computed == 4  # transposes are views


def test_products_count_two_for_each_multiplication():
    a, b = og.placeholder((2, 3)), og.placeholder((3, 5))
    assert flops(a @ b) == 2 * 2 * 3 * 5
    stack = og.placeholder((7, 2, 3))
    assert flops(stack @ b) == 7 * 2 * 2 * 3 * 5
    assert flops(og.tensordot(stack, og.placeholder((3, 2, 5)), [(1, 2), (1, 0)])) == 2 * 7 * 5 * 2 * 3
    assert flops(og.einsum("ij,jk->ik", a, b)) == 2 * 2 * 3 * 5
    assert flops(og.einsum("ij,jk->i", a, b)) == 2 * 2 * 3 * 5
    assert flops(og.einsum("ij->i", a)) == 2 * 3


def test_an_einsum_of_several_factors_counts_the_products_it_is_made_of():
    a, b, c = og.placeholder((30, 40)), og.placeholder((40, 50)), og.placeholder((50, 2))
    # b with c first, since that leaves the least
    assert flops(og.einsum("ij,jk,kl->il", a, b, c)) == 2 * 40 * 50 * 2 + 2 * 30 * 40 * 2


def test_reductions_count_what_they_read_and_moves_count_nothing():
    x = og.placeholder((4, 6))
    assert flops(og.reduce_sum(x, 0)) == 24
    assert flops(og.sum_to(x, og.placeholder((6,)))) == 24
    assert flops(og.transpose(x).reshape(24)) == 0  # which copies


def test_an_op_may_say_what_it_takes(rt):
    class Slow(og.Op, name="acme.slow"):
        def infer(self, ins):
            return ins

        def compute(self, ins, outs):
            outs[0][...] = ins[0]

        def flops(self, ins, outs):
            return 100 * ins[0].shape.size

    class Silent(Slow, name="acme.silent"):
        flops = og.Op.flops

    x = og.placeholder((2, 3))
    assert rt.explain(og.apply(Slow(), x)).flops == 600
    assert rt.explain(og.apply(Silent(), x)).flops == 6


@pytest.mark.parametrize("said", ["many", -1, 2.5, None])
def test_an_op_that_says_no_number_is_told_so(rt, said):
    class Odd(og.Op, name="acme.odd"):
        def infer(self, ins):
            return ins

        def flops(self, ins, outs):
            return said

    y = og.apply(Odd(), og.placeholder((2,)))
    with pytest.raises(og.KernelError, match=r"acme.odd: its flops returned .*, not a number(.|\n)*at test_explain"):
        rt.explain(y)


def test_an_op_that_fails_to_say_is_named(rt):
    class Failing(og.Op, name="acme.failing"):
        def infer(self, ins):
            return ins

        def flops(self, ins, outs):
            return ins[1].shape.size

    y = og.apply(Failing(), og.placeholder((2,)))
    with pytest.raises(og.KernelError, match=r"acme.failing: its flops raised IndexError"):
        rt.explain(y)


def test_variables_written_in_place_are_told_from_those_copied_into():
    a, b = og.Variable(np.ones((5, 3000)), name="a"), og.Variable(np.ones((5, 3000)), name="b")
    x = og.placeholder((5, 3000), np.float64)
    program = og.RunTime(threads=1).compile([x], [], updates={a: a - 0.1 * x, b: x})
    explanation = program.explain()
    assert (explanation.in_place, explanation.copied) == (("a",), ("b",))
    (each,) = explanation.instructions
    assert each.buffers == ("variable 'a'",)
    assert each.commits
    assert explanation.staging == 5 * 3000 * 8  # x is fed, and may change while it waits
    assert explanation.scratch == 5 * 3000 * 8  # 0.1 x
    assert explanation.arena == 0


def test_a_value_over_another_one_is_said_to_be():
    x = og.placeholder((6, 6))
    product = x @ x
    total = og.reduce_sum(product)
    y = og.exp(product) * total
    buffers = [each.buffers for each in og.RunTime(threads=1).explain(y).instructions]
    assert buffers == [("arena 0",), ("arena 192",), ("over matmul",)]  # 6 · 6 · 4 bytes are 144


def test_repeated_values_are_read_once():
    row = og.placeholder((1, 8), np.float64)
    fed = og.broadcast_to(og.exp(row), (100, 8))
    (_, each) = og.RunTime(threads=1).explain(og.tanh(fed)).instructions
    assert (each.bytes_read, each.bytes_written) == (64, 6400)


def test_threads_share_only_what_is_worth_it():
    large, small = og.placeholder((1000, 1000)), og.placeholder((10, 10))
    explanation = og.RunTime(threads=3, tile=1 << 15).explain([og.exp(large), og.exp(small)])
    assert sorted((each.blocks, each.threads) for each in explanation.instructions) == [(1, 1), (32, 3)]


def test_sizes_come_from_values_or_shapes():
    x = og.placeholder((None, 4), name="x")
    y = og.exp(x)
    rt = og.RunTime(threads=1)
    by_value, by_shape = rt.explain(y, {x: np.zeros((3, 4))}), rt.explain([y], {x: (3, 4)})
    assert by_value == by_shape
    assert by_shape.returned == 48
    program = rt.compile([x], [y])
    assert program.explain((3, 4)) == program.explain(np.zeros((3, 4))) == by_shape


def test_unknown_sizes_that_are_not_fed_are_asked_for(rt):
    x = og.placeholder((None, 4), name="x")
    y = og.exp(x)
    wanted = (
        r"explain: sizes are unknown of placeholder 'x' \(None, 4\) float32; feed values or shapes, tuples of integ"
    )
    with pytest.raises(og.FeedError, match=wanted + r"(.|\n)*at test_explain.py:\d+: x = og.placeholder"):
        rt.explain(y)
    with pytest.raises(og.FeedError, match=wanted):
        rt.compile([x], [y]).explain()


@pytest.mark.parametrize("shape", [(3, 5), (4,), (None, 4), (-1, 4)])
def test_a_shape_that_does_not_fit_is_refused(rt, shape):
    x = og.placeholder((None, 4), name="x")
    with pytest.raises(og.ShapeError, match=r"feed of placeholder 'x'(.|\n)*at test_explain.py"):
        rt.explain(og.exp(x), {x: shape})


def test_a_call_with_other_inputs_than_the_program_takes_is_refused(rt):
    x = og.placeholder((2,), name="x")
    program = rt.compile([x], [og.exp(x)])
    with pytest.raises(og.FeedError, match=r"explain: takes 1 values \('x'\), got 2"):
        program.explain((2,), (2,))


def test_what_is_no_node_or_no_feed_is_refused(rt):
    x = og.placeholder((2,), name="x")
    with pytest.raises(og.GraphError, match="fetches are nodes, not 3"):
        rt.explain([3])
    with pytest.raises(og.FeedError, match="feeds are keyed by placeholders, not by 'x'"):
        rt.explain(og.exp(x), {"x": (2,)})
    with og.Graph().as_default_graph():
        other = og.placeholder((2,), name="other")
    with pytest.raises(og.FeedError, match="placeholder of another graph"):
        rt.explain(og.exp(x), {other: (2,)})


def test_explaining_runs_nothing_and_leaves_the_plan_for_the_run():
    calls = []

    class Noted(og.Op, name="acme.noted"):
        def infer(self, ins):
            return ins

        def compute(self, ins, outs):
            calls.append(1)
            outs[0][...] = ins[0]

    w = og.variable((3,), lambda shape, rng: np.ones(shape), name="w")  # without a value yet
    x = og.placeholder((None,))
    program = og.RunTime(threads=1).compile([x], [og.apply(Noted(), x + w)])
    explanation = program.explain((3,))
    assert len(explanation.instructions) == 2
    assert not calls
    og.get_default_graph().initialize_variables()
    np.testing.assert_array_equal(program([1, 2, 3])[0], [2, 3, 4])
    assert len(program._executable._plans) == 1


def test_nothing_to_do_is_explained_too(rt):
    x = og.placeholder((2,))
    explanation = rt.explain([x])
    assert explanation.instructions == ()
    assert "0 calls in the graph" in str(explanation)
    assert str(rt.explain([])) == str(rt.explain([], {}))


def test_a_kernel_set_shows(monkeypatch):
    def factory(op, ins, outs):
        return og.Kernel(lambda ins, outs: np.exp(*ins, *outs), blocks=True)

    monkeypatch.setattr("opgraph.runtime.get_kernels", lambda name: {"core.exp": factory})
    x = og.placeholder((2,))
    (each,) = og.RunTime(kernels=("mine",), threads=1).explain(og.tanh(og.exp(x))).instructions
    assert each.kernels == ("set", "ufunc")


NET = """
images = og.placeholder((None, 4), name="images")
w = og.variable((4, 3), lambda shape, rng: np.ones(shape), name="w")
logits = images @ w
y = og.tanh(images * 0.5 + 1.0)
updates = {w: w * 0.5}
"""

# matmul: 2 · 5 · 3 · 4 operations; reads 5 · 4 and 4 · 3 floats, writes 5 · 3. The chain: 3 · 20 operations; reads
# 20 floats and two constants; 8 // 4 rows of 4 make a block, and in its memory the sum lies over the product.
EXPLAINED = """\
5 calls in the graph -> 5 steps after the passes -> 3 instructions
passes: prune, fuse, inplace, commit
memory: 256 B at the peak (arena 192 B, blocks and work space 64 B, staging 0 B); returned: 140 B
variables: 1 written in place (w)
a run: 192 flop, 268 B read, 188 B written; 1 thread, blocks of 8 elements

#  runs                 makes           kernel   blocks  threads   read  written  flop  buffer                  line
-  -------------------  --------------  -------  ------  -------  -----  -------  ----  ----------------------  --------
1  matmul               (5, 3) float32  own           1        1  128 B     60 B   120  arena 0                 net.py:4
2  multiply, add, tanh  (5, 4) float32  3 ufunc       3        1   88 B     80 B    60  arena 64; 2 within the  net.py:5
                                                                                        block
3  multiply_1           (4, 3) float32  ufunc         2        1   52 B     48 B    12  variable 'w'            net.py:6
"""


def test_the_text_says_it_all_in_order():
    net = built(NET)
    rt = og.RunTime(threads=1, tile=8, passes=("prune", "fuse", "inplace", "commit"))
    explanation = rt.explain([net["logits"], net["y"]], {net["images"]: (5, 4)}, net["updates"])
    assert str(explanation) + "\n" == EXPLAINED


@pytest.mark.skipif(importlib.util.find_spec("rich") is None, reason="rich is optional")
def test_rich_shows_a_table_and_takes_no_name_for_markup():
    import rich.console

    w = og.Variable(np.ones(2), name="[red]")
    console = rich.console.Console(width=200)
    with console.capture() as capture:
        console.print(og.RunTime(threads=1).explain([], updates={w: og.exp(w)}))
    assert "1 call in the graph" in capture.get()
    assert "variable '[red]'" in capture.get()


def test_no_rich_is_needed(monkeypatch):
    for module in [m for m in sys.modules if m.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "rich", None)
    x = og.placeholder((2,))
    assert "1 instruction" in str(og.RunTime().explain(og.exp(x)))


def test_notebooks_are_shown_html_in_which_names_are_text():
    with og.name_scope("a"):
        w = og.Variable(np.ones(2), name="<w&>")
    html = og.RunTime(threads=1).explain([], updates={w: og.exp(w)})._repr_html_()
    assert "<table>" in html
    assert "&lt;w&amp;&gt;" in html
    assert "<w&>" not in html
