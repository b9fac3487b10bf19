"""Random graphs, to hold what run times make of a graph against each other.

A seed gives one graph always: `RandomGraph(seed, exact)`. What it computes with some options of `RunTime` is
`graph.results(threads=2)`; `assert_agree` compares that with the results under others.

An `exact` graph is elementwise, but for views, and has no formula that is computed better than written: whatever is
done to it, its results are the same bit by bit. Any other also has such formulas, reductions, products of matrices and
random numbers, so its results are the same to rounding.
"""

import os

import numpy as np

import opgraph as og

ROWS = 4  # of what is fed; the graphs do not know it, for every other seed


def seeds():
    """The seeds to test with: a hundred, or as many as the environment variable OPGRAPH_RANDOM_GRAPHS says."""
    return range(int(os.environ.get("OPGRAPH_RANDOM_GRAPHS", "100")))


class RandomGraph:
    """A graph with its feeds, fetches and updates.

    Values are of the kinds that can be told from their names: a "matrix" is (n, 3), a "column" (n, 1), a "row"
    (3,), a "scalar" ().
    """

    def __init__(self, seed, exact):
        self.rng = np.random.default_rng((seed, exact))
        self.exact = exact
        self.graph = og.Graph()
        rows = None if seed % 2 else ROWS
        with self.graph.as_default_graph():
            shapes = {"matrix": (rows, 3), "column": (rows, 1), "row": (3,), "scalar": ()}
            self.kinds = {kind: [] for kind in (["matrix"] if exact else shapes)}
            self.feeds = {}
            self.initial = {}
            for kind in self.kinds:
                known = [ROWS if n is None else n for n in shapes[kind]]
                for _ in range(2):
                    x = og.placeholder(shapes[kind], dtype=np.float64)
                    self.feeds[x] = self.values(known)
                    self.kinds[kind].append(x)
                variable = og.Variable(self.values(known))
                self.initial[variable] = variable.val
                self.kinds[kind].append(variable)
            self.leaves = list(self.feeds)
            self.wanted = [*self.feeds, *self.initial]
            for _ in range(self.rng.integers(5, 40)):
                self.grow()
            self.fetches = [self.any_value() for _ in range(self.rng.integers(2, 7))]
            self.updates = self.chosen_updates()

    def values(self, shape):
        plain = np.asarray(self.rng.choice([-1.0, 1.0], shape) * self.rng.uniform(0.1, 1.5, shape))
        special = self.rng.choice([0.0, -0.0, -0.0, np.inf, np.nan], shape)
        return np.where(self.rng.random(shape) < 0.3 * self.exact, special, plain)

    def pick(self, kind="matrix"):
        """A value of a kind; rather one that was made of others just before, so that graphs are deep."""
        listed = self.kinds[kind]
        return self.choose(listed[-3:] if self.rng.random() < 0.7 else listed)

    def choose(self, listed):
        return listed[self.rng.integers(len(listed))]

    def any_value(self):
        return self.pick(self.choose(list(self.kinds)))

    def grow(self):
        kind, build = self.choose(EXACT if self.exact else [*EXACT, *ROUNDED, *ROUNDED])
        self.kinds[kind].append(build(self))

    def chosen_updates(self):
        """New values for some variables; others take theirs when a call is run, some of them twice."""
        updates = {}
        for variable in self.initial:
            kind = next(kind for kind, listed in self.kinds.items() if variable in listed)
            for _ in range(self.rng.integers(3)):
                call = self.any_value().call
                value = og.tanh(self.pick(kind) * 0.5 + variable)
                if call is not None and value.shape.is_known == variable.shape.is_known:
                    self.graph.add_update(variable, value, when=call.output(0))
            if self.rng.random() < 0.5 and self.pick(kind).shape.compatible_with(variable.shape):
                updates[variable] = og.tanh(self.pick(kind) - variable)
        return updates

    def program(self, **options):
        return og.RunTime(seed=5, **options).compile(list(self.feeds), self.fetches, self.updates)

    def results(self, runs=3, **options):
        """All that several runs of the graph return, and the variables after them."""
        for variable, value in self.initial.items():
            variable.set_val(value)
        program = self.program(**options)
        found = [value for _ in range(runs) for value in program(*self.feeds.values())]
        return [*found, *(variable.val for variable in self.initial)]


def assert_agree(found, expected, exact):
    """Results are the same bit by bit, but for what NaNs carry; or to rounding."""
    assert len(found) == len(expected)
    for x, y in zip(found, expected, strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        if exact:
            np.testing.assert_array_equal(x, y)
            number = ~np.isnan(y)
            np.testing.assert_array_equal(np.signbit(x[number]), np.signbit(y[number]))
        else:
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9)


def bounded(function):
    """A function whose values stay where the next one loses no digits."""
    return lambda g: og.tanh(function(g))


def constant(g):
    return g.choose([0.0, -0.0, 1.0, 1.0, -1.0, 2.0, 0.5, np.inf, np.nan] if g.exact else [0.0, -0.0, 1.0, -1.0, 0.5])


def filled(g):
    """A constant in the shape of a matrix."""
    return og.full_like(g.pick(), constant(g))


def gradient(g, x, y):
    return og.grad(og.reduce_sum(y) if not g.exact else y, x, unconnected="zeros")


def of_two(function):
    return lambda g: function(g.pick(), g.pick())


def checkpointed(g):
    other, number = g.pick(), constant(g)
    function = og.checkpoint(lambda x: og.sin(og.exp2(og.tanh(x)) * number + og.tanh(other)))
    return function(g.pick())


def there_and_back(g):
    """Views that end where they began."""
    x = g.pick()
    return g.choose(
        [
            lambda: x.T.T,
            lambda: og.transpose(og.transpose(x, (1, 0)), (1, 0)),
            lambda: x.reshape(-1).reshape(-1, 3),
            lambda: og.reshape_like(x.T.reshape(-1), x),
            lambda: og.squeeze(og.expand_dims(x, 1), 1),
            lambda: og.squeeze(og.expand_dims(x, 0), 0),
            lambda: og.expand_dims(x, 2).reshape(-1, 3),
            lambda: og.flip(og.flip(x, 0), 0),
            lambda: og.identity(og.stop_gradient(x)),
            lambda: og.real(og.conj(og.cast(x, np.complex128))),
            lambda: og.cast(og.cast(x, np.float32), np.float64),
            lambda: og.cast(og.cast(og.cast(x, np.float32), np.float64), np.float32).astype(np.float64),
            lambda: og.broadcast_like(x, x),
            lambda: og.reduce_max(og.expand_dims(x, 1), 1),
        ]
    )()


def many(g):
    """Several times the same of other values, some of which depend on others, and one of them."""
    values = [g.pick() for _ in range(3)]
    for _ in range(g.rng.integers(4, 9)):
        values.append(og.tanh(g.choose(values) * g.choose(values)))
    joined = og.stack(values) if g.rng.random() < 0.5 else og.concat([og.expand_dims(x, 0) for x in values])
    return joined[int(g.rng.integers(len(values)))]


def unrolled(g):
    """A loop of some turns over rows, there and back."""
    xs, weights, start = g.pick(), og.tanh(g.pick().T @ g.pick()), g.pick("row")
    h, ends = og.expand_dims(start, 0), []
    for t in range(g.rng.integers(4, 8)):
        h = og.tanh(xs[t % 2 : t % 2 + 1] @ weights + h @ weights + start)
        ends.append(og.reduce_sum(h @ weights, 0) if g.rng.random() < 0.9 else og.reduce_sum(h, 0))
    total = sum(ends[1:], ends[0])
    return og.reduce_sum(og.grad(og.reduce_sum(total), weights), 0) + total


# what makes another matrix, and gives the same bits however it is done
EXACT = [
    ("matrix", build)
    for build in (
        lambda g: g.pick() + constant(g),
        lambda g: constant(g) - g.pick(),
        lambda g: g.pick() - constant(g),
        lambda g: g.pick() * constant(g),
        lambda g: g.pick() * filled(g),
        lambda g: g.pick() + filled(g) * constant(g),
        lambda g: g.pick() / (constant(g) if g.exact else 2.0),
        of_two(lambda x, y: x + y),
        of_two(lambda x, y: x - y),
        of_two(lambda x, y: og.tanh(x) * y),
        of_two(og.maximum),
        of_two(lambda x, y: og.squared_difference(og.sin(x), y * 0.5)),
        lambda g: -g.pick(),
        lambda g: og.negative(-g.pick()),
        lambda g: og.exp2(og.tanh(g.pick())),
        lambda g: og.sqrt(og.abs(og.sin(g.pick())) + 0.5),
        lambda g: og.tanh(g.pick()),
        # of leaves, whose rounding no rewrite changes
        lambda g: og.where(g.choose(g.leaves[:2]) < 0.3, g.pick(), g.pick()),
        lambda g: og.where(g.choose(g.leaves[:2]) > constant(g), g.pick(), constant(g)),
        lambda g: og.cast(og.logical_not(g.choose(g.leaves[:2]) <= 0), np.float64) * g.pick(),
        lambda g: gradient(g, g.choose([x for x in g.wanted if x in g.kinds["matrix"]]), og.tanh(g.pick())),
        there_and_back,
        there_and_back,
        checkpointed,
        many,
    )
]

ROUNDED = [
    *[
        ("matrix", bounded(build))
        for build in (
            lambda g: g.pick() + g.pick("row"),
            lambda g: g.pick() * g.pick("column"),
            lambda g: g.pick() - g.pick("scalar"),
            lambda g: g.pick("column") + g.pick("row"),
            lambda g: og.broadcast_like(g.pick(g.choose(["row", "column", "scalar"])), g.pick()) * g.pick(),
            lambda g: -og.broadcast_like(g.pick("scalar"), g.pick()) * 0.5 + g.pick(),
            lambda g: g.pick() @ (g.pick().T @ g.pick()),
            lambda g: (g.pick() @ og.transpose(g.pick())) @ g.pick(),
            lambda g: g.pick() - og.reduce_max(g.choose(g.leaves[:2]), 1, keepdims=True),
            lambda g: og.random_normal(like=g.pick()) * 0.1 + g.pick(),
            lambda g: g.pick() * og.random_uniform((3,), dtype=np.float64),
            lambda g: og.log(1 + og.exp(g.pick())),
            lambda g: og.log1p(og.exp(g.pick())),
            lambda g: og.log(og.exp(g.pick()) + og.exp(g.pick())),
            lambda g: og.log(og.exp(g.pick())),
            lambda g: og.exp(g.pick()) - 1,
            lambda g: og.exp(g.pick()) / og.reduce_sum(og.exp(g.pick()), 1, keepdims=True),
            lambda g: g.pick() - og.log(og.reduce_sum(og.exp(g.pick()), 1, keepdims=True)),
            lambda g: gradient(g, g.pick(), og.sin(g.pick())),
            lambda g: gradient(g, g.choose(g.leaves[:2]), og.tanh(g.any_value())),
        )
    ],
    *[
        ("row", bounded(build))
        for build in (
            lambda g: og.reduce_sum(g.pick(), 0),
            lambda g: og.sum_to(g.pick(), g.pick("row")),
            lambda g: g.pick()[0] * g.pick("row"),
            lambda g: og.log(og.reduce_sum(og.exp(g.pick()), 0)),
            lambda g: gradient(g, g.pick("row"), og.sin(g.any_value())),
            unrolled,
        )
    ],
    *[
        ("column", bounded(build))
        for build in (
            lambda g: og.reduce_mean(g.pick(), 1, keepdims=True),
            lambda g: og.sum_to(g.pick(), g.pick("column")),
            lambda g: og.expand_dims(og.log(og.reduce_sum(og.exp(g.pick()), 1)), 1),
            lambda g: g.pick() @ og.expand_dims(g.pick("row"), 1),
            lambda g: gradient(g, g.pick("column"), og.sin(g.any_value())),
        )
    ],
    *[
        ("scalar", bounded(build))
        for build in (
            lambda g: og.reduce_mean(g.pick()),
            lambda g: og.reduce_sum(g.pick("row") * g.pick("scalar")),
            lambda g: og.reduce_logsumexp(g.pick()),
            lambda g: og.count(g.pick(), dtype=np.float64) * 0.01,
            lambda g: gradient(g, g.pick("scalar"), og.sin(g.any_value())),
        )
    ],
]
