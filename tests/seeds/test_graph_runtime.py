"""Programs in the manner of the Graph/RunTime framework, with the imports changed and little data."""

import numpy as np
import pytest

import opgraph as ad
from opgraph_nn import initializers, optimizers
from opgraph_vision import datasets


@pytest.fixture(scope="module")
def digits():
    images, labels = datasets.digits()
    return images, np.eye(10, dtype=np.float32)[labels]


def batches(images, labels, size, steps):
    random_state = np.random.RandomState(0)
    for _ in range(steps):
        which = random_state.choice(len(images), size, False)
        yield images[which], labels[which]


def accuracy(logits, labels):
    return np.mean(np.argmax(logits, axis=1) == np.argmax(labels, axis=1))


def test_graphs_nodes_and_shapes_of_the_readme():
    a = ad.placeholder((2, 3))
    b = ad.placeholder((2, 3))
    c = ad.add(a, b)
    default_graph = ad.get_default_graph()
    assert a.graph == default_graph
    assert b.graph == default_graph
    assert c.graph == default_graph

    graph = ad.Graph()
    with graph.as_default_graph():
        a = ad.placeholder((2, 3))
        b = ad.placeholder((2, 3))
        c = ad.add(a, b)
    assert a.graph == graph
    assert a.graph != default_graph

    a = ad.placeholder((None, 1, 2, 3))
    assert repr(a.shape) == "Shape(None, 1, 2, 3)"


def test_forward_and_backward_of_the_readme():
    a = ad.placeholder((2, 3))
    b = ad.placeholder((2, 3))
    c = ad.add(a, b)
    runtime = ad.RunTime()
    graph = ad.get_default_graph()
    graph.set_runtime(runtime)
    feed_dict = {a: [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], b: [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]]}
    c_val = c.forward(feed_dict)
    c.backward(feed_dict, bwval=[[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    assert c_val.tolist() == [[1, 2, 3], [3, 4, 5]]
    assert runtime.get_bwval(a.name).tolist() == [[1, 1, 1], [1, 1, 1]]
    assert runtime.get_bwval(b.name).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_arithmetic_with_lists_of_the_readme():
    a = ad.placeholder((2, 3))
    b = a + [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]  # noqa: RUF005  # a node, no list
    c = [3.0, 4.0, 5.0] * a
    at = {a: np.ones((2, 3))}
    assert b.forward(at).tolist() == [[2, 3, 4], [5, 6, 7]]
    assert c.forward(at).tolist() == [[3, 4, 5], [3, 4, 5]]
    assert ([1.0, 1.0, 1.0] - a).forward(at).sum() == 0  # where the framework added
    assert (np.float32(2) * a - +a).forward(at).sum() == 6


def test_logistic_regression_with_l2norm(digits, tmp_path):
    images, labels_ = digits
    gd = optimizers.GradientDescentOptimizer(alpha=0.5)
    inputs = ad.placeholder((None, 64))
    labels = ad.placeholder((None, 10))
    weight = ad.variable((64, 10), initializers.TruncatedNormalInitializer(mean=0.0, stddev=0.01, seed=0))
    bias = ad.variable((10,), initializers.ZerosInitializer())
    logits = ad.matmul(inputs, weight) + bias
    loss = ad.reduce_mean(ad.softmax_cross_entropy_loss(labels, logits))
    loss = loss + ad.l2norm(weight, 1e-3)

    graph = ad.get_default_graph()
    graph.initialize_variables()
    runtime = ad.RunTime()
    graph.set_runtime(runtime)
    seen = []
    for inputs_val, labels_val in batches(images.reshape(-1, 64), labels_, 100, 120):
        feed_dict = {inputs: inputs_val, labels: labels_val}
        with runtime.forward_backward_cycle():
            before = weight.val
            gd.optimize(loss, feed_dict)
            seen.append((loss.forward(feed_dict), accuracy(logits.forward(feed_dict), labels_val)))
            np.testing.assert_array_equal(weight.val, before)  # the step is taken when the cycle ends
        assert (weight.val != before).any()
    np.testing.assert_allclose(seen[0][0], np.log(10), rtol=0.05)
    assert np.mean([right for _, right in seen[-20:]]) > 0.93

    path = graph.save_variables(str(tmp_path / "lr_weights"))
    with np.load(path) as saved:
        var_dict = dict(saved)
    weight.set_val(np.zeros((64, 10)))
    graph.initialize_variables(var_dict=var_dict)
    with runtime.forward_backward_cycle():
        logits_val = logits.forward({inputs: images.reshape(-1, 64)})
    assert accuracy(logits_val, labels_) > 0.93


def test_spiral():
    random_state = np.random.RandomState(0)
    x, y = np.zeros((450, 2)), np.zeros((450, 3))
    for j in range(3):
        rows = range(150 * j, 150 * (j + 1))
        r = np.linspace(0.0, 1, 150)
        t = np.linspace(j * 4, (j + 1) * 4, 150) + random_state.randn(150) * 0.2
        x[rows] = np.c_[r * np.sin(t), r * np.cos(t)]
        y[rows, j] = 1.0
    inputs, labels = ad.placeholder((None, 2)), ad.placeholder((None, 3))
    he, zi = initializers.HeNormalInitializer(seed=0), initializers.ZerosInitializer()
    w1, b1 = ad.variable((2, 100), he), ad.variable((100,), zi)
    w2, b2 = ad.variable((100, 3), he), ad.variable((3,), zi)
    hidden = ad.relu(ad.matmul(inputs, w1) + b1)
    logits = ad.matmul(hidden, w2) + b2
    loss = ad.reduce_mean(ad.softmax_cross_entropy_loss(labels, logits)) + ad.l2norm(w1, 1e-3) + ad.l2norm(w2, 1e-3)
    graph = ad.get_default_graph()
    graph.initialize_variables()
    runtime = ad.RunTime()
    graph.set_runtime(runtime)
    optimizer = optimizers.AdamOptimizer(alpha=0.02, beta1=0.9, beta2=0.999, epsilon=1e-8)
    for _ in range(250):
        with runtime.forward_backward_cycle():
            optimizer.optimize(loss, {inputs: x, labels: y})
    assert accuracy(logits.forward({inputs: x}), y) > 0.95


def build_batch_norm_mlp(is_training):
    tni, zi, oi = (
        initializers.TruncatedNormalInitializer(mean=0.0, stddev=0.1, seed=0),
        initializers.ZerosInitializer(),
        initializers.OnesInitializer(),
    )
    inputs, labels = ad.placeholder((None, 64)), ad.placeholder((None, 10))
    hidden, size = inputs, 64
    for _ in range(2):
        weight, offset, scale = ad.variable((size, 50), tni), ad.variable((50,), zi), ad.variable((50,), oi)
        moving_mean = ad.variable((50,), zi, trainable=False)
        moving_variance = ad.variable((50,), oi, trainable=False)
        hidden = ad.fused_batch_norm(
            ad.matmul(hidden, weight),
            scale,
            offset,
            moving_mean,
            moving_variance,
            epsilon=1e-3,
            decay=0.9,
            is_training=is_training,
        )
        hidden, size = ad.sigmoid(hidden), 50
    logits = ad.matmul(hidden, ad.variable((50, 10), tni)) + ad.variable((10,), zi)
    return inputs, labels, logits, ad.softmax_cross_entropy_loss(labels, logits)


def test_batch_norm_in_a_training_graph_and_a_test_graph(digits):
    images, labels_ = digits
    graph, test_graph = ad.Graph(), ad.Graph()
    with graph.as_default_graph():
        inputs, labels, _, loss = build_batch_norm_mlp(True)
    with test_graph.as_default_graph():
        test_inputs, _, test_logits, _ = build_batch_norm_mlp(False)
    graph.initialize_variables()
    test_graph.initialize_variables()
    runtime, test_runtime = ad.RunTime(), ad.RunTime()
    graph.set_runtime(runtime)
    test_graph.set_runtime(test_runtime)
    variables, test_variables = graph.get_variables(False), test_graph.get_variables(False)
    assert [v.name for v in variables] == [v.name for v in test_variables]

    gd = optimizers.GradientDescentOptimizer(alpha=0.01)
    for inputs_val, labels_val in batches(images.reshape(-1, 64), labels_, 50, 150):
        with runtime.forward_backward_cycle():
            gd.optimize(loss, {inputs: inputs_val, labels: labels_val})  # a loss for each example, as it is
    for test_variable, variable in zip(test_variables, variables, strict=True):
        test_variable.set_val(variable.val)
    with test_runtime.forward_backward_cycle():
        logits_val = test_logits.forward({test_inputs: images.reshape(-1, 64)})
    assert accuracy(logits_val, labels_) > 0.93
    # or by name
    test_graph.initialize_variables({v.name: v.val for v in variables})
    np.testing.assert_array_equal(test_logits.forward({test_inputs: images.reshape(-1, 64)}), logits_val)


def build_convnet(is_training):
    he, zi, oi = (
        initializers.HeUniformInitializer(seed=0),
        initializers.ZerosInitializer(),
        initializers.OnesInitializer(),
    )
    inputs, labels = ad.placeholder((None, 8, 8, 1)), ad.placeholder((None, 10))
    x, channels = inputs, 1
    for layer, filters in enumerate([8, 8, 16, 16, 16]):
        x = ad.conv2d(x, ad.variable((3, 3, channels, filters), he), [1, 1], "SAME")
        x = ad.fused_batch_norm(
            x,
            ad.variable((filters,), oi),
            ad.variable((filters,), zi),
            ad.variable((filters,), zi, trainable=False),
            ad.variable((filters,), oi, trainable=False),
            is_training=is_training,
            decay=0.9,
        )
        x, channels = ad.leaky_relu(x, 0.1), filters
        if layer in (1, 3):
            x = ad.maxpool_2d(x, [2, 2], [2, 2], "SAME")
            x = ad.dropout(x, 0.1, is_training=is_training)
    features = ad.reduce_mean(x, axis=[1, 2])
    logits = ad.matmul(features, ad.variable((16, 10), he)) + ad.variable((10,), zi)
    return inputs, labels, logits, ad.softmax_cross_entropy_loss(labels, logits)


def test_five_layers_of_convolution_with_global_pooling(digits):
    images, labels_ = digits
    graph, test_graph = ad.Graph(), ad.Graph()
    with graph.as_default_graph():
        inputs, labels, _, loss = build_convnet(True)
    with test_graph.as_default_graph():
        test_inputs, _, test_logits, _ = build_convnet(False)
    graph.initialize_variables()
    graph.set_runtime(ad.RunTime(seed=0))
    test_graph.set_runtime(ad.RunTime())
    optimizer = optimizers.RMSPropOptimizer(alpha=0.003, rho=0.9, momentum=0.0, epsilon=1e-7)
    for inputs_val, labels_val in batches(images, labels_, 50, 60):
        with graph.get_runtime().forward_backward_cycle():
            optimizer.optimize(loss, {inputs: inputs_val, labels: labels_val})
    test_graph.initialize_variables({v.name: v.val for v in graph.get_variables(only_trainable=False)})
    assert accuracy(test_logits.forward({test_inputs: images[:400]}), labels_[:400]) > 0.9


def build_generator(noise, is_training=True):
    normal = initializers.RandomNormalInitializer(stddev=0.1, seed=0)
    zi, oi = initializers.ZerosInitializer(), initializers.OnesInitializer()
    weight, kernel = ad.variable((5, 32), normal), ad.variable((3, 3, 1, 8), normal)
    offset, scale = ad.variable((32,), zi), ad.variable((32,), oi)
    mean, variance = ad.variable((32,), zi), ad.variable((32,), oi)
    dense = ad.fused_batch_norm(ad.matmul(noise, weight), scale, offset, mean, variance, is_training=is_training)
    images = ad.reshape(ad.leaky_relu(dense, alpha=0.3), [-1, 2, 2, 8])
    images = ad.conv2d_transpose(images, kernel, [2, 2], "SAME")
    return ad.sigmoid(images), [weight, kernel, offset, scale]


def build_discriminator(images, is_training=True):
    normal = initializers.RandomNormalInitializer(stddev=0.1, seed=1)
    zi = initializers.ZerosInitializer()
    kernel, bias = ad.variable((3, 3, 1, 4), normal), ad.variable((4,), zi)
    weight, last = ad.variable((16, 1), normal), ad.variable((1,), zi)
    hidden = ad.leaky_relu(ad.conv2d(images, kernel, [2, 2], "SAME") + bias, alpha=0.3)
    hidden = ad.dropout(hidden, 0.3, is_training=is_training)
    logits = ad.add(ad.matmul(ad.reshape(hidden, (-1, 16)), weight), last)
    return logits, [kernel, bias, weight, last]


def test_dcgan_computes_the_gradients_of_two_losses_and_applies_them_together(digits):
    size = 6
    graph = ad.Graph()
    with graph.as_default_graph():
        noise = ad.placeholder((None, 5))
        fake_images, g_var_list = build_generator(noise)
        real_images = ad.placeholder((None, 4, 4, 1))
        images = ad.concat([real_images, fake_images], axis=0)
        logits, d_var_list = build_discriminator(images)
        labels = ad.constant(np.concatenate([np.ones((size, 1)), np.zeros((size, 1))], axis=0).astype("float32"))
        fake_labels = ad.constant(np.ones((size, 1), dtype="float32"))
        fake_logits = ad.slice(logits, (size, 0), (-1, -1))
        discriminator_loss = ad.reduce_mean(ad.sigmoid_cross_entropy_loss(labels, logits))
        generator_loss = ad.reduce_mean(ad.sigmoid_cross_entropy_loss(fake_labels, fake_logits))
    graph.initialize_variables()
    runtime = ad.RunTime(seed=0)
    graph.set_runtime(runtime)
    optimizer = optimizers.AdamOptimizer(alpha=1e-2, beta1=0.9, beta2=0.999, epsilon=1e-8)
    random_state = np.random.RandomState(0)
    losses = []
    for _ in range(60):
        which = random_state.choice(len(digits[0]), size, False)
        feed_dict = {
            noise: random_state.normal(size=(size, 5)).astype("float32"),
            real_images: digits[0][which, ::2, ::2],
        }
        with runtime.forward_backward_cycle(grad_stopped_nodes=[images]):
            d_grads_and_vars = optimizer.compute_gradients(discriminator_loss, feed_dict, d_var_list)
            d_loss = discriminator_loss.forward(feed_dict)
        with runtime.forward_backward_cycle():
            g_grads_and_vars = optimizer.compute_gradients(generator_loss, feed_dict, g_var_list)
            generator_loss.forward(feed_dict)
        before = [v.val for v in d_var_list + g_var_list]
        optimizer.apply_gradients(d_grads_and_vars + g_grads_and_vars)
        losses.append(d_loss)
    assert all((v.val != old).any() for v, old in zip(d_var_list + g_var_list, before, strict=True))
    np.testing.assert_allclose(losses[0], np.log(2), rtol=0.1)
    assert np.mean(losses[-10:]) < 0.6

    test_graph = ad.Graph()
    with test_graph.as_default_graph():
        test_noise = ad.placeholder((None, 5))
        test_images, _ = build_generator(test_noise, is_training=False)
    test_graph.initialize_variables({v.name: v.val for v in graph.get_variables() if v.name in names_of(test_graph)})
    assert test_images.forward({test_noise: np.zeros((3, 5))}).shape == (3, 4, 4, 1)


def names_of(graph):
    return {v.name for v in graph.get_variables(only_trainable=False)}


def test_wgan_clips_the_weights_of_its_critic(digits):
    noise, real = ad.placeholder((None, 5)), ad.placeholder((None, 4, 4, 1))
    fake, g_var_list = build_generator(noise)
    values, d_var_list = build_discriminator(ad.concat([real, fake], 0), is_training=False)
    critic_loss = ad.reduce_mean(ad.slice(values, [8, 0], [-1, 1])) - ad.reduce_mean(ad.slice(values, [0, 0], [8, 1]))
    generator_loss = -ad.reduce_mean(ad.slice(values, [8, 0], [-1, 1]))
    graph = ad.get_default_graph()
    graph.initialize_variables()
    runtime = graph.get_runtime()
    critic = optimizers.RMSPropOptimizer(alpha=5e-3, rho=0.9, momentum=0.0, epsilon=1e-10)
    generator = optimizers.RMSPropOptimizer(alpha=5e-3, rho=0.9, momentum=0.0, epsilon=1e-10)
    random_state = np.random.RandomState(0)
    losses = []
    for step in range(40):
        which = random_state.choice(len(digits[0]), 8, False)
        feed_dict = {noise: random_state.normal(size=(8, 5)), real: digits[0][which, ::2, ::2]}
        with runtime.forward_backward_cycle():
            critic.optimize(critic_loss, feed_dict, d_var_list)
            losses.append(critic_loss.forward(feed_dict))
        for variable in d_var_list:
            variable.set_val(np.clip(variable.val, -0.1, 0.1))
        if step % 5 == 0:
            with runtime.forward_backward_cycle():
                generator.optimize(generator_loss, feed_dict, g_var_list)
    assert max(abs(v.val).max() for v in d_var_list) <= np.float32(0.1)
    assert losses[-1] < losses[0]


def test_convolutional_vae(digits):
    batch_size, latent_size = 16, 2
    gui, zi = initializers.GlorotUniformInitializer(), initializers.ZerosInitializer()
    images = ad.placeholder((batch_size, 8, 8, 1))
    hidden = ad.relu(ad.conv2d(images, ad.variable((3, 3, 1, 8), gui), [2, 2], "VALID") + ad.variable((8,), zi))
    params = ad.matmul(ad.reshape(hidden, (batch_size, -1)), ad.variable((72, 4), gui)) + ad.variable((4,), zi)
    mean = ad.slice(params, [0, 0], [batch_size, latent_size])
    logvar = ad.slice(params, [0, latent_size], [batch_size, latent_size])
    eps = ad.placeholder(mean.shape)
    z = eps * ad.exp(logvar * 0.5) + mean
    dense = ad.relu(ad.matmul(z, ad.variable((2, 4 * 4 * 8), gui)) + ad.variable((4 * 4 * 8,), zi))
    x_logits = ad.conv2d_transpose(ad.reshape(dense, [-1, 4, 4, 8]), ad.variable((3, 3, 1, 8), gui), [2, 2], "SAME")
    log2pi = np.log(2.0 * np.pi).astype("float32")

    def log_normal_pdf(sample, mean, logvar, axis=1):
        return ad.reduce_sum(-0.5 * ((sample - mean) * (sample - mean) * ad.exp(-logvar) + logvar + log2pi), axis=axis)

    logpx_z = -ad.reduce_sum(ad.sigmoid_cross_entropy_loss(images, x_logits), axis=[1, 2, 3])
    logpz = ad.reduce_sum(-0.5 * (z * z + log2pi), axis=1)
    loss = -ad.reduce_mean(logpx_z + logpz - log_normal_pdf(z, mean, logvar))
    graph = ad.get_default_graph()
    graph.initialize_variables(seed=0)
    runtime = ad.RunTime()
    graph.set_runtime(runtime)
    optimizer = optimizers.AdamOptimizer(alpha=1e-2, beta1=0.9, beta2=0.999, epsilon=1e-7)
    random_state = np.random.RandomState(0)
    losses = []
    for _ in range(60):
        which = random_state.choice(len(digits[0]), batch_size, False)
        feed_dict = {images: digits[0][which], eps: random_state.normal(size=(batch_size, latent_size))}
        with runtime.forward_backward_cycle():
            optimizer.optimize(loss, feed_dict, graph.get_variables())
            losses.append(loss.forward(feed_dict))
    assert np.mean(losses[-10:]) < 0.85 * np.mean(losses[:3])
