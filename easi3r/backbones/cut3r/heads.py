"""Heads of the recurrent network: what its tokens say of points, colours and the camera. Always float32.

Source of the formulas: specification cut3r.md, sections 10 and 11. Module and parameter names are those of the released
state dicts. Layers are the kept ones (B, N, C) without the pose token (see `dust3r.heads.kept_layers`); a pose token is
(B, 1, C).
"""

import torch
from torch import nn
from torch.nn import functional as F

from ..dust3r.heads import Dpt, activate, expand
from ..dust3r.layers import Mlp, SelfAttention, norm

_RATIO = 4  # hidden channels per channel of every head, whatever the blocks of the transformer have
_COLOUR_MARGIN = 1e-6  # colours keep so far away from both ends of [0, 1]

Maps = tuple[torch.Tensor, torch.Tensor]  # points (B, H, W, 3) and their confidence (B, H, W) >= 1


class ConditionedNorm(nn.Module):
    """A layer norm whose scale and shift depend on the pose token."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(channels, 2 * channels))

    def forward(self, x: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        shift, scale = self.mlp(pose).chunk(2, dim=-1)
        return self.norm(x) * (1 + scale) + shift


class ConditionedBlock(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ConditionedNorm(channels), ConditionedNorm(channels)
        self.attn = SelfAttention(channels, heads)
        self.mlp = Mlp(channels, _RATIO * channels)

    def forward(self, x: torch.Tensor, pose: torch.Tensor, rope: torch.Tensor) -> torch.Tensor:
        x = self.attn.add_to(x, self.norm1(x, pose), rope)
        return self.mlp.add_to(x, self.norm2(x, pose))


class PoseHead(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = Mlp(channels, _RATIO * channels, 7)

    def forward(self, pose: torch.Tensor) -> torch.Tensor:
        """A pose token -> camera-to-world (B, 7): translation, and quaternion w, x, y, z of length 1 with w >= 0."""
        translation, quaternion = self.mlp(pose[:, 0]).split((3, 4), dim=-1)
        quaternion = F.normalize(quaternion, dim=-1)
        turned = torch.where(quaternion[:, :1] < 0, -quaternion, quaternion)
        return torch.cat([expand(translation), turned], dim=-1)


class Heads(nn.Module):
    """What both kinds of heads have; these add `own`, `common` and, where the network has it, `colour`."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.final_transform = nn.ModuleList(ConditionedBlock(channels, heads) for _ in range(2))
        self.pose_head = PoseHead(channels)

    def posed(self, layers: list[torch.Tensor], pose: torch.Tensor, rope: torch.Tensor) -> list[torch.Tensor]:
        """The layers with the last one made to fit the pose, as the points in the common frame need it."""
        x = layers[-1]
        for block in self.final_transform:
            x = block(x, pose, rope)
        return [*layers[:-1], x]


class DptHeads(Heads):
    def __init__(self, encoder_channels: int, channels: int, heads: int, patch: int, colours: bool) -> None:
        super().__init__(channels, heads)
        self.dpt_self, self.dpt_cross = (Dpt(encoder_channels, channels) for _ in range(2))
        if colours:
            self.dpt_rgb = Dpt(encoder_channels, channels, 3)

    def own(self, layers: list[torch.Tensor], grid: tuple[int, int]) -> Maps:
        """Points in the frame's own camera."""
        return activate(self.dpt_self(layers, grid))

    def common(self, layers: list[torch.Tensor], grid: tuple[int, int]) -> Maps:
        """Points in the frame of the first camera, of `posed` layers."""
        return activate(self.dpt_cross(layers, grid))

    def colour(self, layers: list[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        """RGB (B, H, W, 3) in [-1, 1]."""
        return activate_colour(self.dpt_rgb(layers, grid))


class LinearHeads(Heads):
    def __init__(self, encoder_channels: int, channels: int, heads: int, patch: int, colours: bool) -> None:
        super().__init__(channels, heads)
        self.patch = patch
        self.proj, self.cross_proj = (Mlp(channels, _RATIO * channels, 4 * patch**2) for _ in range(2))
        if colours:
            self.rgb_proj = Mlp(channels, _RATIO * channels, 3 * patch**2)

    def own(self, layers: list[torch.Tensor], grid: tuple[int, int]) -> Maps:
        """Points in the frame's own camera; this head alone turns those behind it to the front."""
        v, confidence = self._shuffled(self.proj, layers, grid).split((3, 1), dim=1)
        return activate(torch.cat([v * v[:, 2:].sign(), confidence], dim=1))

    def common(self, layers: list[torch.Tensor], grid: tuple[int, int]) -> Maps:
        """Points in the frame of the first camera, of `posed` layers."""
        return activate(self._shuffled(self.cross_proj, layers, grid))

    def colour(self, layers: list[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        """RGB (B, H, W, 3) in [-1, 1]."""
        return activate_colour(self._shuffled(self.rgb_proj, layers, grid))

    def _shuffled(self, mlp, layers, grid):
        tokens = mlp(layers[-1])  # (B, N, planes * patch^2)
        return F.pixel_shuffle(tokens.transpose(1, 2).unflatten(2, grid), self.patch)  # (B, planes, H, W)


def activate_colour(raw: torch.Tensor) -> torch.Tensor:
    """Raw (B, 3, H, W) -> RGB (B, H, W, 3) in [-1, 1]."""
    share = raw.permute(0, 2, 3, 1).sigmoid() * (1 - 2 * _COLOUR_MARGIN) + _COLOUR_MARGIN
    return 2 * share - 1


HEADS = {"dpt": DptHeads, "linear": LinearHeads}
