#!/usr/bin/env python3
"""The networks of the suite in PyTorch and fp64, to check theirs against.

    python3 reference.py > reference.json       the first losses of each
    python3 reference.py NETWORK DIR            the loss and the gradients of the first
                                                batch: DIR/loss, DIR/0, DIR/1 ... as fp64

Weights and samples are drawn by SplitMix64, as reference.go describes it. A
matrix of weights has a row for each input and a column for each output, but in a
language model a row for each output; an image goes pixel by pixel, and of each pixel
its channels.
"""
import json
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F

STEPS, BATCHES = 20, 4
torch.set_num_threads(1)  # more would wait for each other as long as they work


def numbers(key, n):
    """The upper 24 bits of n numbers of SplitMix64."""
    with np.errstate(over="ignore"):
        z = np.uint64(key) * np.uint64(0xD1342543DE82EF95)
        z = z + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return (z ^ (z >> np.uint64(31))) >> np.uint64(40)


def uniform(key, n):
    return (numbers(key, n).astype(np.float64) - 2**23) / 2**23


class Weights:
    """Draws the matrices of a network in turn."""

    def __init__(self):
        self.all = []

    def draw(self, rows, cols, mean, scale):
        w = mean + scale * uniform(100 + len(self.all), rows * cols)
        w = torch.tensor(w.astype(np.float32).astype(np.float64).reshape(rows, cols), requires_grad=True)
        self.all.append(w)
        return w

    def weight(self, rows, cols, relu):
        deviation = math.sqrt(1 / rows)
        if relu:
            deviation *= math.sqrt(2)
        return self.draw(rows, cols, 0, deviation * math.sqrt(3))

    def bias(self, n):
        return self.draw(1, n, 0, 0.1)

    def gain(self, n):
        return self.draw(1, n, 1, 0.1)


def perceptron(*widths):
    w = Weights()
    layers = [w.weight(i, o, o != 10) for i, o in zip(widths, widths[1:])]

    def forward(x):
        for m in layers[:-1]:
            x = F.relu(x @ m)
        return x @ layers[-1]

    return 256, (784,), w.all, forward


def cnn():
    w = Weights()
    first, second = w.weight(9, 32, True), w.weight(9 * 32, 64, True)
    inner, last = w.weight(3136, 128, True), w.weight(128, 10, False)

    def convolution(x, m):
        filters = m.reshape(3, 3, -1, m.shape[1]).permute(3, 2, 0, 1)
        return F.max_pool2d(F.relu(F.conv2d(x, filters, padding=1)), 2)

    def forward(x):
        x = convolution(convolution(x.reshape(-1, 1, 28, 28), first), second)
        return F.relu(x.permute(0, 2, 3, 1).reshape(len(x), -1) @ inner) @ last

    return 100, (784,), w.all, forward


def transformer():
    w = Weights()
    d, inner = 256, 1024
    qkv, qkv_bias = w.weight(d, 3 * d, False), w.bias(3 * d)
    out, out_bias, gain1, bias1 = w.weight(d, d, False), w.bias(d), w.gain(d), w.bias(d)
    up, up_bias = w.weight(d, inner, True), w.bias(inner)
    down, down_bias, gain2, bias2 = w.weight(inner, d, False), w.bias(d), w.gain(d), w.bias(d)
    last, last_bias = w.weight(d, 10, False), w.bias(10)

    def forward(x):
        t = x.transpose(0, 1)  # tokens first
        a, _ = F.multi_head_attention_forward(
            t, t, t, d, 4, qkv.T, qkv_bias[0], None, None, False, 0.0, out.T, out_bias[0], need_weights=False)
        x = F.layer_norm(x + a.transpose(0, 1), (d,), gain1[0], bias1[0], 1e-5)
        y = F.relu(x @ up + up_bias) @ down + down_bias
        x = F.layer_norm(x + y, (d,), gain2[0], bias2[0], 1e-5)
        return x.mean(1) @ last + last_bias

    return 16, (64, 256), w.all, forward


class GPT:
    """GPT-2's network: layers, width, heads, context, vocabulary."""

    # Weights five times those that training starts from: with those, attention is so
    # nearly uniform that a wrong one would hardly change the losses.
    deviation = 5 * 0.02

    def __init__(self, layers, d, heads, context, vocabulary):
        self.heads, self.context, self.vocabulary = heads, context, vocabulary
        w = self.w = Weights()
        out = self.deviation / math.sqrt(2 * layers)

        def matrix(rows, cols, deviation=self.deviation):
            return w.draw(rows, cols, 0, deviation * math.sqrt(3))

        self.table, self.places = matrix(vocabulary, d), matrix(context, d)
        self.blocks = [
            (w.gain(d), w.bias(d), matrix(3 * d, d), w.bias(3 * d), matrix(d, d, out), w.bias(d),
             w.gain(d), w.bias(d), matrix(4 * d, d), w.bias(4 * d), matrix(d, 4 * d, out), w.bias(d))
            for _ in range(layers)
        ]
        self.last = w.gain(d), w.bias(d)

    def attention(self, x):
        """Each token sees itself and those before it: one product of queries and keys a
        token, which is slow and has no mask to get wrong."""
        n, t, _ = x.shape
        q, k, v = (m.reshape(n, t, self.heads, -1) for m in x.chunk(3, dim=-1))
        rows = []
        for i in range(t):
            scores = torch.einsum("nhe,njhe->nhj", q[:, i], k[:, : i + 1]) / math.sqrt(q.shape[-1])
            rows.append(torch.einsum("nhj,njhe->nhe", scores.softmax(-1), v[:, : i + 1]).reshape(n, -1))
        return torch.stack(rows, 1)

    def loss(self, tokens):
        norm = lambda x, gain, bias: F.layer_norm(x, x.shape[-1:], gain[0], bias[0], 1e-5)
        x = self.table[tokens[:, :-1]] + self.places
        for g1, b1, qkv, qkv_bias, out, out_bias, g2, b2, up, up_bias, down, down_bias in self.blocks:
            x = x + F.linear(self.attention(F.linear(norm(x, g1, b1), qkv, qkv_bias[0])), out, out_bias[0])
            y = F.linear(norm(x, g2, b2), up, up_bias[0])
            y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
            x = x + F.linear(y, down, down_bias[0])
        logits = F.linear(norm(x, *self.last), self.table)
        return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


# Each with its rate of learning.
SUITE = {
    "mlp": (0.05, lambda: perceptron(784, 512, 10)),
    "mlp-big": (0.05, lambda: perceptron(784, 2048, 2048, 10)),
    "cnn": (0.005, cnn),
    "transformer": (0.05, transformer),
}

# Language models, with the documents of a batch, the rate, and the steps in which it
# rises to that.
LANGUAGE = {"gpt-mini": (lambda: GPT(4, 128, 4, 128, 512), 1, 1e-3, 10)}


def batch(i, n, shape):
    x = torch.tensor(uniform(200 + i, n * math.prod(shape)).reshape(n, *shape))
    return x, torch.tensor((numbers(300 + i, n) % np.uint64(10)).astype(np.int64))


def documents(i, n, model):
    t = numbers(300 + i, n * (model.context + 1)) % np.uint64(model.vocabulary)
    return torch.tensor(t.astype(np.int64)).reshape(n, -1)


def language_losses(name):
    network, n, rate, warmup = LANGUAGE[name]
    model = network()
    weights, found = model.w.all, []
    moments = [(torch.zeros_like(w), torch.zeros_like(w)) for w in weights]
    for i in range(STEPS):
        loss = model.loss(documents(i % BATCHES, n, model))
        found.append(loss.item())
        grads = torch.autograd.grad(loss, weights)
        norm = math.sqrt(sum((g**2).sum().item() for g in grads))
        lr = rate * min(1, (i + 1) / warmup)
        with torch.no_grad():
            for w, (m, v), g in zip(weights, moments, grads):
                g = g * min(1, 1 / norm)
                m += (1 - 0.9) * (g - m)
                v += (1 - 0.95) * (g**2 - v)
                if w.shape[0] > 1:
                    w -= lr * 0.1 * w
                w -= lr * (m / (1 - 0.9 ** (i + 1))) / ((v / (1 - 0.95 ** (i + 1))).sqrt() + 1e-8)
    return {"batch": n, "rate": rate, "warmup": warmup, "losses": found}


def losses(name):
    if name in LANGUAGE:
        return language_losses(name)
    rate, network = SUITE[name]
    n, shape, weights, forward = network()
    found = []
    for i in range(STEPS):
        x, y = batch(i % BATCHES, n, shape)
        loss = F.cross_entropy(forward(x), y)
        found.append(loss.item())
        for w, g in zip(weights, torch.autograd.grad(loss, weights)):
            with torch.no_grad():
                w -= rate * g
    return {"batch": n, "rate": rate, "losses": found}


def gradients(name, directory):
    if name in LANGUAGE:
        model = LANGUAGE[name][0]()
        weights, loss = model.w.all, model.loss(documents(0, LANGUAGE[name][1], model))
    else:
        n, shape, weights, forward = SUITE[name][1]()
        x, y = batch(0, n, shape)
        loss = F.cross_entropy(forward(x), y)
    np.array([loss.item()]).tofile(f"{directory}/loss")
    for i, g in enumerate(torch.autograd.grad(loss, weights)):
        g.numpy().tofile(f"{directory}/{i}")


if len(sys.argv) == 3:
    gradients(*sys.argv[1:])
else:
    version = torch.__version__.split("+")[0].removesuffix("a0")
    json.dump({"program": f"PyTorch {version}", "networks": {name: losses(name) for name in [*SUITE, *LANGUAGE]}}, sys.stdout, indent=1)
    print()
