"""Building blocks of the transformers, CUT3R's too: positions, attention, blocks.

Shapes: B batch, N tokens of a view (row-major grid), C channels, heads x head_dim = C. Module and parameter names are
those of the released state dicts. LayerNorms and the residual stream are float32; a `Linear` computes in the precision
its own weights have, so casting the Linears alone gives a half-precision network.
"""

import torch
from torch import nn
from torch.nn import functional as F

Moving = tuple[torch.Tensor, torch.Tensor]  # tokens that move, (B, N) bool each: of the queries, of the keys


class Linear(nn.Linear):
    """A linear layer that takes any floating dtype and computes in that of its weights."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.to(self.weight.dtype))


def add_linear(x: torch.Tensor, linear: nn.Linear, y: torch.Tensor) -> torch.Tensor:
    """x + linear(y), float32 like x; in the network's own precision without a tensor for the product."""
    if linear.weight.dtype != x.dtype:
        return x + linear(y)
    out = (x + linear.bias).flatten(0, -2)
    return torch.addmm(out, y.flatten(0, -2), linear.weight.T, out=out).view_as(x)


def norm(channels: int) -> nn.LayerNorm:
    return nn.LayerNorm(channels, eps=1e-6)


def rope_table(height: int, width: int, head_dim: int, base: float, device: torch.device) -> torch.Tensor:
    """`rotary` of an h x w token grid, row by row."""
    return rotary(grid_positions(height, width, device), head_dim, base)


def grid_positions(height: int, width: int, device: torch.device) -> torch.Tensor:
    """(row, column) of the tokens of an h x w grid, (N, 2) whole numbers, row by row."""
    rows = torch.arange(height, device=device).repeat_interleave(width)
    columns = torch.arange(width, device=device).repeat(height)
    return torch.stack([rows, columns], dim=1)


def rotary(positions: torch.Tensor, head_dim: int, base: float) -> torch.Tensor:
    """Rotary position table of tokens at (row, column), (N, 2), negative ones too.

    Complex64 numbers of length 1, (N, 2, head_dim/4). The first half of a head's channels turns with the row, the
    second with the column. Within a half of D channels the inverse frequencies are base^(-2k/D), k < D/2, and channel k
    is paired with k + D/2.
    """
    half = head_dim // 2
    frequencies = base ** (-torch.arange(0, half, 2, device=positions.device, dtype=torch.float32) / half)  # (D/2,)
    angles = positions[:, :, None] * frequencies  # (N, 2 axes, D/2)
    return torch.polar(torch.ones_like(angles), angles)


def heads_of(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Tokens (B, N, C) by head: (B, heads, N, head_dim), contiguous, on which attention is a third faster."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2).contiguous()


def heads_rotated(x: torch.Tensor, heads: int, rope: torch.Tensor | None, half: bool = False) -> torch.Tensor:
    """`heads_of` queries or keys with a rotary table applied: each pair of channels times its complex number.

    The partners of a pair end up side by side. Attention does not mind, as queries and keys agree on it, and memory
    traffic, not arithmetic, is what this costs. rope: None turns nothing; half: x and the result are rounded to
    float16, in which the kernel of some published networks takes and gives them.
    """
    if rope is None:
        return heads_of(x, heads)
    if half:
        return heads_rotated(x.half(), heads, rope).to(x.dtype)
    first, second = x.float().unflatten(-1, (heads, 2, 2, -1)).unbind(-2)  # (B, N, heads, axes, D/2): the partners
    pairs = torch.complex(first, second).transpose(1, 2)
    out = torch.empty(pairs.shape, dtype=pairs.dtype, device=pairs.device)
    return torch.view_as_real(torch.mul(pairs, rope, out=out)).flatten(3).to(x.dtype)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T / sqrt(head_dim)) v; all (B, heads, N, head_dim), result (B, N, C).

    The fused kernel does what
        weights = (q @ k.transpose(-1, -2) / head_dim**0.5).softmax(-1)   # (B, heads, N, N)
        return weights @ v
    says, without ever holding the N x N weights.
    """
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def attend_reweighted(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, moving_queries: torch.Tensor, moving_keys: torch.Tensor
) -> torch.Tensor:
    """`attend`, but static queries give moving keys zero weight after the softmax, without renormalising.

    Source: Easi3R, section 4. moving_queries, moving_keys (B, N) bool. Zero weight is the same as zeroing those keys'
    values; what the moving queries see is computed for them alone, as they are few.
    """
    out = attend(q, k, v.masked_fill(moving_keys[:, None, :, None], 0))
    most = int(moving_queries.sum(dim=1).max())
    if most:
        rows = moving_queries.int().topk(most, dim=1).indices  # (B, most): all moving ones, filled up with static ones
        chosen = rows[:, None, :, None].expand(-1, q.shape[1], -1, q.shape[3])
        full = attend(q.gather(2, chosen), k, v)
        rows = rows[..., None].expand_as(full)
        moving = moving_queries[..., None].expand_as(out).gather(1, rows)
        out = out.scatter(1, rows, torch.where(moving, full, out.gather(1, rows)))
    return out


def mean_logits(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Attention logits averaged over the queries: (B, N keys, heads) float32, for q, k (B, heads, N, head_dim).

    The mean over queries of q.k / sqrt(head_dim) is (mean of q).k / sqrt(head_dim): no N x N matrix needed.
    """
    query = q.mean(dim=2, dtype=torch.float32) / q.shape[-1] ** 0.5
    return torch.einsum("bhd,bhnd->bnh", query, k.float())


class SelfAttention(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(channels, 3 * channels)
        self.proj = Linear(channels, channels)

    def add_to(self, x: torch.Tensor, y: torch.Tensor, rope: torch.Tensor | None, half: bool = False) -> torch.Tensor:
        """x plus what y (B, N, C) attends to in itself; rope, half: see `heads_rotated`."""
        q, k, v = self.qkv(y).chunk(3, dim=-1)
        q, k = (heads_rotated(part, self.heads, rope, half) for part in (q, k))
        return add_linear(x, self.proj, attend(q, k, heads_of(v, self.heads)))


class CrossAttention(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.projq = Linear(channels, channels)
        self.projk = Linear(channels, channels)
        self.projv = Linear(channels, channels)
        self.proj = Linear(channels, channels)

    def queries_and_keys(
        self, x: torch.Tensor, memory: torch.Tensor, rope: torch.Tensor | None, memory_rope: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rotated queries of x and keys of memory (B, N, C), each (B, heads, N, head_dim)."""
        q = heads_rotated(self.projq(x), self.heads, rope)
        return q, heads_rotated(self.projk(memory), self.heads, memory_rope)

    def add_to(
        self, x: torch.Tensor, q: torch.Tensor, k: torch.Tensor, memory: torch.Tensor, moving: Moving | None = None
    ) -> torch.Tensor:
        """x plus what rotated queries attend to in memory.

        `moving`: None, or (queries, keys), bool (B, N) each, see `attend_reweighted`.
        """
        v = heads_of(self.projv(memory), self.heads)
        return add_linear(x, self.proj, attend(q, k, v) if moving is None else attend_reweighted(q, k, v, *moving))


class Mlp(nn.Module):
    def __init__(self, channels: int, hidden: int, out: int | None = None) -> None:
        super().__init__()
        self.fc1 = Linear(channels, hidden)
        self.fc2 = Linear(hidden, channels if out is None else out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self._hidden(x))

    def add_to(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return add_linear(x, self.fc2, self._hidden(y))

    def _hidden(self, x):
        return torch.ops.aten.gelu_(self.fc1(x))  # exact GELU, in place: a new tensor costs more than the sum


class EncoderBlock(nn.Module):
    def __init__(self, channels: int, heads: int, mlp_ratio: int = 4) -> None:
        super().__init__()
        self.norm1 = norm(channels)
        self.attn = SelfAttention(channels, heads)
        self.norm2 = norm(channels)
        self.mlp = Mlp(channels, mlp_ratio * channels)

    def forward(self, x: torch.Tensor, rope: torch.Tensor, half: bool = False) -> torch.Tensor:
        x = self.attn.add_to(x, self.norm1(x), rope, half)
        return self.mlp.add_to(x, self.norm2(x))


class DecoderParts(nn.Module):
    """What a decoder block is made of."""

    def __init__(self, channels: int, heads: int, mlp_ratio: int = 4) -> None:
        super().__init__()
        self.norm1 = norm(channels)
        self.attn = SelfAttention(channels, heads)
        self.norm2 = norm(channels)
        self.norm_y = norm(channels)
        self.cross_attn = CrossAttention(channels, heads)
        self.norm3 = norm(channels)
        self.mlp = Mlp(channels, mlp_ratio * channels)


class DecoderBlock(DecoderParts):
    def forward(
        self,
        x: torch.Tensor,
        other: torch.Tensor,
        rope: torch.Tensor,
        moving: Moving | None = None,
        only_evidence: bool = False,
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """One block of one view's decoder; x, other (B, N, C) float32: this and the other view's previous layer.

        Returns (x, evidence): evidence (B, N, heads) is `mean_logits` of the cross-attention, per token of the other
        view. With `only_evidence` the work that does not lead to it is left out and x is None.
        """
        x = self.attn.add_to(x, self.norm1(x), rope)
        memory = self.norm_y(other)
        q, k = self.cross_attn.queries_and_keys(self.norm2(x), memory, rope, rope)
        evidence = mean_logits(q, k)
        if only_evidence:
            return None, evidence
        x = self.cross_attn.add_to(x, q, k, memory, moving)
        return self.mlp.add_to(x, self.norm3(x)), evidence


class PatchEmbedding(nn.Module):
    def __init__(self, channels: int, patch: int, planes: int = 3) -> None:
        super().__init__()
        self.proj = nn.Conv2d(planes, channels, patch, stride=patch)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)  # (B, planes, H, W) -> (B, N, C)
