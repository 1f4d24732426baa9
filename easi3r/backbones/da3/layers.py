"""The block of Depth Anything 3's transformers; what it has in common with DUSt3R's comes from there.

Shapes: B frames, N tokens, C channels, heads x head_dim = C. Source: specification da3.md, sections 3 and 7.
"""

import torch
from torch import nn

from ..dust3r.layers import Mlp, SelfAttention, attend, heads_of, heads_rotated

_RATIO = 4  # hidden channels of an MLP per channel


class Attention(SelfAttention):
    """Self-attention; normed: with a norm over the channels of every head of queries and keys."""

    def __init__(self, channels: int, heads: int, normed: bool) -> None:
        super().__init__(channels, heads)
        self.normed = normed
        if normed:
            self.q_norm, self.k_norm = nn.LayerNorm(channels // heads), nn.LayerNorm(channels // heads)

    def parts(self, y: torch.Tensor, rope: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values of y (B, N, C), each (B, heads, N, head_dim) in the precision of the weights."""
        q, k, v = self.qkv(y).chunk(3, dim=-1)
        if self.normed:
            q, k = self._normed(q, self.q_norm), self._normed(k, self.k_norm)
        q, k = (heads_rotated(part, self.heads, rope).to(v.dtype) for part in (q, k))
        return q, k, heads_of(v, self.heads)

    def _normed(self, x, norm):
        return norm(x.unflatten(-1, (self.heads, -1)).float()).flatten(-2)  # by (B, N, heads, head_dim)


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
        return self.after(x, attend(*self.parts(x, rope)))

    def parts(self, x: torch.Tensor, rope: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values of x, see `Attention.parts`."""
        return self.attn.parts(self.norm1(x), rope)

    def after(self, x: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """x (B, N, C) after what its queries saw (B, N, C), and the MLP."""
        x = self.ls1.add_to(x, self.attn.proj(seen))
        return self.ls2.add_to(x, self.mlp(self.norm2(x)))
