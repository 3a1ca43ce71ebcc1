#!/usr/bin/python3
"""The networks of the suite as they are usually written in PyTorch: how fast that
trains on this CPU.

    OPENBLAS_NUM_THREADS=1 python3 peer.py NETWORK [-t THREADS] [-secs S] [-linear mkldnn] [-serve]

Needs PyTorch (Debian: python3-torch), whose OpenBLAS has threads of its own unless
told otherwise, and knows a CPU that is newer than itself only by OPENBLAS_CORETYPE.
Prints samples and useful GFLOP per CPU-second. With -linear mkldnn the linear layers
of the networks without biases compute in oneDNN's layout, which this PyTorch can
train. With -serve it works on request, as bench/peers/server.go describes: make peers
does that. SGD in fp32, without
biases but in the transformer, on random samples, which each step reads from images
of bytes as the workload does. Useful FLOP per sample: the first
layer counts 2x its forward product (no gradient of the input), every other layer 3x.
gpt-mini trains by AdamW with clipping, and its samples are tokens.
Compare by CPU-seconds, in alternated runs: wall time on a shared machine says little.
"""
import argparse
import ctypes
import re
import resource
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

arg = argparse.ArgumentParser()
arg.add_argument("model", choices=["mlp", "mlp-big", "cnn", "transformer", "gpt-mini"])
arg.add_argument("-t", type=int, default=1)
arg.add_argument("-secs", type=float, default=3)
arg.add_argument("-linear", choices=["blas", "mkldnn"], default="blas")
arg.add_argument("-serve", action="store_true")
a = arg.parse_args()
torch.set_num_threads(a.t)
torch.manual_seed(1)


class Encoder(nn.Module):
    """One encoder block (d 256, 4 heads, feed-forward 1024), mean over time, 10 classes."""

    def __init__(self):
        super().__init__()
        self.block = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, batch_first=True)
        self.out = nn.Linear(256, 10)

    def forward(self, x):
        return self.out(self.block(x).mean(1))


class Block(nn.Module):
    """A block of GPT-2: 4 heads, GELU in its tanh form."""

    def __init__(self, d):
        super().__init__()
        self.norm1, self.qkv, self.out = nn.LayerNorm(d), nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.norm2, self.up, self.down = nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, 4, d // 4).permute(2, 0, 3, 1, 4)
        if hasattr(F, "scaled_dot_product_attention"):  # PyTorch 2
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mask = torch.ones(t, t, dtype=torch.bool).triu(1)
            y = (q @ k.transpose(-1, -2) * (d // 4) ** -0.5).masked_fill(mask, -torch.inf).softmax(-1) @ v
        x = x + self.out(y.transpose(1, 2).reshape(n, t, d))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    """GPT-2 with 4 layers of width 128, context 128, vocabulary 512, and a tied head."""

    def __init__(self):
        super().__init__()
        self.table, self.places = nn.Embedding(512, 128), nn.Embedding(128, 128)
        self.blocks, self.last = nn.Sequential(*(Block(128) for _ in range(4))), nn.LayerNorm(128)
        for p in (self.table, self.places):
            nn.init.normal_(p.weight, 0, 0.02)

    def forward(self, tokens):
        x = self.blocks(self.table(tokens) + self.places.weight)
        return F.linear(self.last(x), self.table.weight).flatten(0, 1)


class Linear(nn.Linear):
    """A linear layer, by OpenBLAS or by oneDNN."""

    def forward(self, x):
        if a.linear == "blas":
            return super().forward(x)
        return F.linear(x.to_mkldnn(), self.weight, self.bias).to_dense()


def lin(i, o):
    return Linear(i, o, bias=False)


def conv(i, o):
    return nn.Conv2d(i, o, 3, padding=1, bias=False)


batch, shape = 256, (784,)
if a.model == "mlp":
    model = nn.Sequential(lin(784, 512), nn.ReLU(), lin(512, 10))
    flop = 2 * (2 * 784 * 512) + 3 * 2 * 512 * 10
elif a.model == "mlp-big":
    model = nn.Sequential(lin(784, 2048), nn.ReLU(), lin(2048, 2048), nn.ReLU(), lin(2048, 10))
    flop = 2 * 2 * 784 * 2048 + 3 * 2 * (2048 * 2048 + 20480)
elif a.model == "cnn":
    batch, shape = 100, (1, 28, 28)
    model = nn.Sequential(conv(1, 32), nn.ReLU(), nn.MaxPool2d(2), conv(32, 64), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Flatten(), lin(3136, 128), nn.ReLU(), lin(128, 10))
    flop = 2 * 451584 + 3 * (7225344 + 802816 + 2560)
elif a.model == "gpt-mini":
    batch, shape = 4, (128,)
    model = GPT()
    flop = 6 * sum(p.numel() for p in model.parameters()) + 6 * 4 * 128 * 128
else:
    batch, shape = 16, (64, 256)
    model = Encoder()
    d, t = 256, 64
    flop = 3 * 2 * (t * (4 * d * d + 2 * d * 1024) + 2 * t * t * d)

gen = torch.Generator().manual_seed(7)
each = 1  # samples in what a batch counts
if a.model == "gpt-mini":
    each = 128
    text = torch.randint(0, 512, (1 << 20,), generator=gen)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() < 2]
    opt = torch.optim.AdamW([{"params": matrices}, {"params": others, "weight_decay": 0}], lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
else:
    images = torch.randint(0, 256, (60000, 784), generator=gen, dtype=torch.uint8)
    labels = torch.randint(0, 10, (60000,), generator=gen)
    places = torch.randn(64, 256, generator=gen)  # as good as the positional encoding
    opt = torch.optim.SGD(model.parameters(), lr=0.01)
    order, at = None, 60000


def read():
    """The samples of the next step, read as the workload reads them: from tokens or images of bytes, in random order."""
    global order, at
    if a.model == "gpt-mini":
        starts = torch.randint(0, len(text) - 129, (batch, 1))
        tokens = text[starts + torch.arange(129)]
        return tokens[:, :-1], tokens[:, 1:].reshape(-1)
    if at + batch > len(images):
        order, at = torch.randperm(len(images)), 0
    some = order[at:at + batch]
    at += batch
    x = images[some].float().mul_(1 / 255)
    if a.model == "transformer":  # 64 windows of 16×16 pixels, 3 pixels apart
        x = F.unfold(F.pad(x.view(batch, 1, 28, 28), (4, 5, 4, 5)), 16, stride=3).transpose(1, 2) * 8 + places
    return x.view(batch, *shape), labels[some]


def step():
    x, y = read()
    opt.zero_grad(set_to_none=True)
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    if a.model == "gpt-mini":
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    opt.step()
    return loss.item()


def cpu_seconds():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime


def run(secs):
    """Trains for some seconds; returns samples, CPU seconds, wall seconds and the last loss."""
    n, c0, t0 = 0, cpu_seconds(), time.perf_counter()
    while n == 0 or time.perf_counter() - t0 < secs:
        loss = step()
        n += 1
    return n * batch * each, cpu_seconds() - c0, time.perf_counter() - t0, loss


def kernels():
    """What PyTorch computes with on this CPU: its own loops, and its BLAS."""
    found = re.search(r"CPU capability usage: (\S+)", torch.__config__.show())
    names = [found.group(1) if found else "unknown"]
    for path in {line.split()[-1] for line in open("/proc/self/maps") if "libopenblas" in line}:
        core = ctypes.CDLL(path).openblas_get_corename
        core.restype = ctypes.c_char_p
        names.append("OpenBLAS " + core().decode())
    if a.linear == "mkldnn":
        names.append("oneDNN in linear layers")
    return ", ".join(names)


for _ in range(3):
    step()
if a.serve:
    print(f"ready\tPyTorch {torch.__version__}\t{kernels()}", flush=True)
    for line in sys.stdin:
        n, cpu, _, _ = run(float(line))
        print(n, cpu, flush=True)
else:
    n, cpu, wall, loss = run(a.secs)
    print(f"torch {torch.__version__} ({kernels()}) {a.model} threads={a.t} samples/s={n/wall:.0f} samples/cpu-s={n/cpu:.0f} "
          f"GFLOP/cpu-s={n*flop/cpu/1e9:.1f} loss={loss:.4f}")
