"""The block of Depth Anything 3's transformers; what it has in common with DUSt3R's comes from there.

Shapes: B frames, N tokens, C channels, heads x head_dim = C. Source: specification da3.md, sections 3 and 7.
"""

import torch
from torch import nn
from torch.nn import functional as F

from ..dust3r.layers import Mlp, SelfAttention, attend, heads_of, heads_rotated

_RATIO = 4  # hidden channels of an MLP per channel


class Attention(SelfAttention):
    """Self-attention; normed: with a norm over the channels of every head of queries and keys."""

    def __init__(self, channels: int, heads: int, normed: bool) -> None:
        super().__init__(channels, heads)
        self.normed = normed
        if normed:
            self.q_norm, self.k_norm = nn.LayerNorm(channels // heads), nn.LayerNorm(channels // heads)

    def parts(self, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values of y (B, N, C), each (B, N, heads, head_dim); the first two float32 if normed.

        Three products in place of one: norms would copy the parts of a common result.
        """
        y = y.to(self.qkv.weight.dtype)
        weights = zip(self.qkv.weight.chunk(3), self.qkv.bias.chunk(3))
        q, k, v = (F.linear(y, *weight).unflatten(-1, (self.heads, -1)) for weight in weights)
        return (self.q_norm(q.float()), self.k_norm(k.float()), v) if self.normed else (q, k, v)


class LayerScale(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))

    def add_to(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """x + gamma y, float32 like x."""
        return torch.addcmul(x, self.gamma, y.float())


class Block(nn.Module):
    def __init__(self, channels: int, heads: int, eps: float, normed: bool = False) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels, eps), nn.LayerNorm(channels, eps)
        self.attn = Attention(channels, heads, normed)
        self.ls1, self.ls2 = LayerScale(channels), LayerScale(channels)
        self.mlp = Mlp(channels, _RATIO * channels)

    def forward(self, x: torch.Tensor, rope: torch.Tensor | None = None) -> torch.Tensor:
        """x (B, N, C) float32 after a look at itself."""
        q, k, v = self.attn.parts(self.norm1(x))
        q, k = (heads_rotated(part.flatten(2), self.attn.heads, rope).to(v.dtype) for part in (q, k))
        return self.after(x, attend(q, k, heads_of(v.flatten(2), self.attn.heads)))

    def after(self, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """x (B, N, C) after what its queries saw (B, N, C), and the MLP."""
        x = self.ls1.add_to(x, self.attn.proj(seen))
        return self.ls2.add_to(x, self.mlp(self.norm2(x)))


class Across:
    """A block in which the tokens of all frames look at each other: `add` each group of frames, then `after` each.

    Held for all tokens are their keys and values, and their queries by group. rope: rotary table (1, head_dim / 4 ...)
    of the special tokens, which come first in every frame; among patches positions cancel.
    """

    def __init__(self, block: Block, tokens: int, rope: torch.Tensor) -> None:
        self.block, self.rope, self.tokens = block, rope, 0
        weight, heads = block.attn.qkv.weight, block.attn.heads
        shape = 2, heads, tokens, weight.shape[1] // heads
        self.keys, self.values = torch.empty(shape, dtype=weight.dtype, device=weight.device)
        self.queries: list[torch.Tensor] = []

    def add(self, x: torch.Tensor) -> None:
        """Frames x (B, 1 + N, C)."""
        q, k, v = self.block.attn.parts(self.block.norm1(x))
        q, k, v = (part.flatten(0, 1).transpose(0, 1) for part in (turned(q, self.rope), turned(k, self.rope), v))
        rows = slice(self.tokens, self.tokens + v.shape[1])  # of (heads, B (1 + N), head_dim)
        self.keys[:, rows], self.values[:, rows] = k, v
        self.queries.append(q.to(v.dtype).contiguous())
        self.tokens = rows.stop

    def after(self, x: torch.Tensor) -> torch.Tensor:
        """The frames x after their look at all; to be asked in the order in which they were added."""
        seen = attend(self.queries.pop(0)[None], self.keys[None], self.values[None])  # (1, B (1 + N), C)
        return self.block.after(x, seen.view(x.shape))


def turned(x: torch.Tensor, rope: torch.Tensor) -> torch.Tensor:
    """Queries or keys (B, N, heads, head_dim) float32, the first of each frame turned in place by a table (1, 2, D/2).

    The order of channels stays, other than in `heads_rotated`, as the other tokens are left as they are.
    """
    first, second = x[:, 0].unflatten(-1, (2, 2, -1)).unbind(-2)  # (B, heads, axes, D/2): the partners
    pairs = torch.complex(first, second) * rope
    x[:, 0] = torch.stack([pairs.real, pairs.imag], dim=-2).flatten(-3)
    return x
