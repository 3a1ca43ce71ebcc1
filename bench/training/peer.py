#!/usr/bin/python3
"""The networks of the suite as they are usually written in PyTorch: how fast that
trains on this CPU.

    OPENBLAS_NUM_THREADS=1 python3 peer.py NETWORK [-t THREADS] [-secs S]

Needs PyTorch (Debian: python3-torch), whose OpenBLAS has threads of its own unless
told otherwise. Prints samples and useful GFLOP per CPU-second. SGD in fp32, without
biases but in the transformer, on random samples. Useful FLOP per sample: the first
layer counts 2x its forward product (no gradient of the input), every other layer 3x.
Compare by CPU-seconds, in alternated runs: wall time on a shared machine says little.
"""
import argparse
import resource
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

arg = argparse.ArgumentParser()
arg.add_argument("model", choices=["mlp", "mlp-big", "cnn", "transformer"])
arg.add_argument("-t", type=int, default=1)
arg.add_argument("-secs", type=float, default=3)
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


def lin(i, o):
    return nn.Linear(i, o, bias=False)


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
else:
    batch, shape = 16, (64, 256)
    model = Encoder()
    d, t = 256, 64
    flop = 3 * 2 * (t * (4 * d * d + 2 * d * 1024) + 2 * t * t * d)

gen = torch.Generator().manual_seed(7)
data = [(torch.randn(batch, *shape, generator=gen), torch.randint(0, 10, (batch,), generator=gen)) for _ in range(8)]
opt = torch.optim.SGD(model.parameters(), lr=0.01)


def step(i):
    x, y = data[i % len(data)]
    opt.zero_grad(set_to_none=True)
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    opt.step()
    return loss.item()


def cpu_seconds():
    u = resource.getrusage(resource.RUSAGE_SELF)
    return u.ru_utime + u.ru_stime


for i in range(3):
    step(i)
n, c0, t0 = 0, cpu_seconds(), time.perf_counter()
while time.perf_counter() - t0 < a.secs:
    loss = step(n)
    n += 1
wall, cpu = time.perf_counter() - t0, cpu_seconds() - c0
print(f"torch {torch.__version__} {a.model} threads={a.t} samples/s={n*batch/wall:.0f} samples/cpu-s={n*batch/cpu:.0f} "
      f"GFLOP/cpu-s={n*batch*flop/cpu/1e9:.1f} loss={loss:.4f}")
