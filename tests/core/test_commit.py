"""Variables that are written where they are, in the phase that nothing interrupts."""

import numpy as np
import pytest

import opgraph as og


@pytest.fixture(autouse=True)
def graph():
    with og.Graph().as_default_graph() as graph:
        yield graph


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def rt(request):
    return og.RunTime(threads=request.param, tile=1000, seed=0)


def variable(value, name):
    return og.Variable(np.asarray(value, np.float64), name=name)


def plan_of(program):
    (plan,) = program._executable._plans.values()
    return plan


def in_place(program):
    """The variables that the program writes without a copy."""
    staged = set(plan_of(program).staged)
    return [f.variable.name for at, f in enumerate(program._executable.fired) if at not in staged]


N = 400_000  # worth the while of a second thread


def test_an_optimizer_s_step_writes_weights_and_slots_where_they_are(rt):
    w, m = variable(np.arange(N), "w"), variable(np.ones(N), "m")
    g = og.placeholder((N,), np.float64)
    momentum = 0.5 * m + g
    step = rt.compile([g], [], updates={m: momentum, w: w - 0.25 * momentum})
    memory = w.storage.array
    step(np.full(N, 2.0))
    step(np.full(N, 4.0))
    assert in_place(step) == ["m", "w"]
    assert w.storage.array is memory
    np.testing.assert_array_equal(m.val, np.full(N, 0.5 * 2.5 + 4))
    np.testing.assert_array_equal(w.val, np.arange(N) - 0.25 * 2.5 - 0.25 * 5.25)


def test_fetches_show_the_values_from_before_the_run(rt):
    w = variable(np.arange(N), "w")
    new = w + 1.0
    step = rt.compile([], [w, og.reduce_sum(w)], updates={w: new})
    before, total = step()
    assert in_place(step) == ["w"]
    assert before[5] == 5.0
    assert total == N * (N - 1) / 2
    assert w.val[5] == 6.0


def test_a_new_value_that_is_fetched_is_copied(rt):
    w = variable(np.arange(N), "w")
    new = w + 1.0
    step = rt.compile([], [new], updates={w: new})
    (fetched,) = step()
    assert in_place(step) == []
    step()
    assert (fetched[5], w.val[5]) == (6.0, 7.0)


def test_variables_that_change_places_do(rt):
    a, b = variable(np.zeros(N), "a"), variable(np.ones(N), "b")
    step = rt.compile([], [], updates={a: b, b: a})
    step()
    assert (a.val[3], b.val[3]) == (1.0, 0.0)


def test_updates_read_each_other_s_variables_as_they_were(rt):
    a, b = variable(np.full(N, 3.0), "a"), variable(np.full(N, 5.0), "b")
    step = rt.compile([], [], updates={a: a + b, b: a * b})
    step()
    assert (a.val[0], b.val[0], a.val[-1], b.val[-1]) == (8.0, 15.0, 8.0, 15.0)


def test_an_update_that_reads_its_variable_shifted_does_not_read_what_it_wrote(rt):
    a = variable(np.arange(N), "a")
    b = variable(np.arange(600).reshape(20, 30) * 1.0, "b")
    step = rt.compile([], [], updates={a: og.flip(a) + 1.0, b: b + og.transpose(b).reshape(20, 30)})
    step()
    np.testing.assert_array_equal(a.val, np.arange(N)[::-1] + 1.0)
    old = np.arange(600).reshape(20, 30)
    np.testing.assert_array_equal(b.val, old + old.T.reshape(20, 30))


def test_an_update_that_reads_the_first_row_of_its_variable_reads_the_old_one(rt):
    a = variable(np.arange(N).reshape(400, 1000), "a")
    step = rt.compile([], [], updates={a: a + a[0]})
    step()
    old = np.arange(N).reshape(400, 1000)
    np.testing.assert_array_equal(a.val, old + old[0])


def test_another_update_that_reads_a_variable_after_its_group_wrote_it_reads_the_old_value(rt):
    a, b = variable(np.arange(N), "a"), variable(np.zeros((2, N)), "b")
    step = rt.compile([], [], updates={a: a * 2.0, b: b + a})
    step()
    step()
    np.testing.assert_array_equal(a.val, np.arange(N) * 4.0)
    np.testing.assert_array_equal(b.val[1], np.arange(N) * 3.0)


def test_a_variable_without_a_value_may_be_written_in_place(rt):
    a = og.variable((N,), lambda shape, rng: np.zeros(shape), name="a", dtype=np.float64)
    x = og.placeholder((N,), np.float64)
    step = rt.compile([x], [], updates={a: x * 2.0})
    step(np.ones(N))
    assert in_place(step) == ["a"]
    assert a.val[-1] == 2.0


def test_a_failure_anywhere_leaves_all_variables_as_they_were(rt):
    a = variable(np.zeros(N), "a")
    i, x = og.placeholder((None,), np.int64), og.placeholder((3,), np.float64)
    step = rt.compile([i, x], [og.gather(x, i)], updates={a: a + 1.0})
    step([0, 2], [1.0, 2.0, 3.0])
    with pytest.raises(og.OpgraphError):
        step([0, 3], [1.0, 2.0, 3.0])
    assert a.val[0] == a.val[-1] == 1.0


def test_a_cycle_keeps_the_variables_until_it_ends(rt, graph):
    graph.set_runtime(rt)
    a = variable(np.zeros(N), "a")
    x = og.placeholder((), np.float64)
    new = a + x
    graph.add_update(a, new, when=new)
    loss = og.reduce_sum(new)
    with rt.forward_backward_cycle():
        assert loss.forward({x: 1.0}) == N
        assert a.val[0] == 0.0
    assert a.val[0] == a.val[-1] == 1.0
    assert loss.forward({x: 1.0}) == 2 * N
    assert a.val[-1] == 2.0


def test_integer_powers_which_may_fail_are_copied(rt):
    a = og.Variable(np.full(N, 2), name="a")
    p = og.placeholder((), np.int64)
    step = rt.compile([p], [], updates={a: og.power(a, p)})
    with pytest.raises(og.OpgraphError):
        step(-1)
    assert (a.val == 2).all()
    step(3)
    assert (a.val == 8).all()
