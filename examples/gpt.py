"""A byte-level GPT learns a text.   cddp run --workers=4 --servers=2 -- python3 examples/gpt.py FILE [STEPS]"""

import pathlib
import sys

import torch
from torch import nn
from torch.nn import functional

import cddp

DIM, HEADS, LAYERS, CONTEXT, BATCH = 128, 4, 4, 64, 16


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(DIM) for _ in range(2))
        self.attention = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
        self.perceptron = nn.Sequential(nn.Linear(DIM, 4 * DIM), nn.GELU(), nn.Linear(4 * DIM, DIM))
        self.register_buffer("later", torch.triu(torch.ones(CONTEXT, CONTEXT, dtype=torch.bool), 1))

    def forward(self, x):
        y = self.norms[0](x)
        x = x + self.attention(y, y, y, attn_mask=self.later, need_weights=False)[0]
        return x + self.perceptron(self.norms[1](x))


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.bytes, self.places = nn.Embedding(256, DIM), nn.Parameter(torch.randn(CONTEXT, DIM) * 0.02)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.head = nn.Sequential(nn.LayerNorm(DIM), nn.Linear(DIM, 256, bias=False))
        self.head[1].weight = self.bytes.weight  # tied

    def forward(self, x):
        return self.head(self.blocks(self.bytes(x) * DIM**-0.5 + self.places))


text = torch.frombuffer(bytearray(pathlib.Path(sys.argv[1]).read_bytes()), dtype=torch.uint8).long()
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
model = Gpt()
optimizer = cddp.DistributedOptimizer(torch.optim.AdamW(model.parameters(), lr=1e-3), model, local_steps=4, ratio=0.1)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=steps)
numbers = torch.Generator().manual_seed(int(optimizer.summary()["rank"]))  # each worker draws its own
for step in range(steps):
    begins = torch.randint(len(text) - CONTEXT - 1, (BATCH,), generator=numbers)
    batch = torch.stack([text[begin : begin + CONTEXT + 1] for begin in begins])
    loss = functional.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step(loss=loss.item())
    schedule.step()
    if step % 50 == 49:
        print(f"step {step + 1}: loss {loss.item():.3f} nats a byte", flush=True)
optimizer.leave()
