"""Heads of the recurrent network: what its tokens say of points, colours and the camera. Always float32.

Source of the formulas: specification cut3r.md, sections 10 and 11. Module and parameter names are those of the released
state dicts. Layers are the kept ones (B, N, C) without the pose token (see `dust3r.heads.kept_layers`); a pose token is
(B, 1, C).
"""

import torch
from torch import nn
from torch.nn import functional as F

from ..dust3r.heads import Dpt, activate, expand, planes_of_fused
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
    """What both kinds have in common: they differ in the modules that make `planes` of layers."""

    PARTS = "", "", ""  # their names, of points in the own and in the common frame, and of colour

    def __init__(self, encoder_channels: int, channels: int, heads: int, patch: int, colours: bool) -> None:
        super().__init__()
        self.final_transform = nn.ModuleList(ConditionedBlock(channels, heads) for _ in range(2))
        self.pose_head = PoseHead(channels)
        for part, planes in zip(self.PARTS, (4, 4, 3) if colours else (4, 4)):
            self.add_module(part, self.module(encoder_channels, channels, patch, planes))

    def module(self, encoder_channels: int, channels: int, patch: int, planes: int) -> nn.Module:
        """A new module for so many `planes`."""
        raise NotImplementedError

    def planes(self, part: str, layers: list[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        """(B, planes, H, W) of one of the parts."""
        raise NotImplementedError

    def own(self, layers: list[torch.Tensor], grid: tuple[int, int]) -> Maps:
        """Points in the frame's own camera."""
        return activate(self.planes(self.PARTS[0], layers, grid))

    def common(self, layers: list[torch.Tensor], grid: tuple[int, int], pose: torch.Tensor, rope: torch.Tensor) -> Maps:
        """Points in the frame of the first camera; rope: rotary table of the grid, without the pose token."""
        x = layers[-1]
        for block in self.final_transform:
            x = block(x, pose, rope)
        return activate(self.planes(self.PARTS[1], [*layers[:-1], x], grid))

    def colour(self, layers: list[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        """RGB (B, H, W, 3) in [-1, 1]."""
        raw = self.planes(self.PARTS[2], layers, grid).permute(0, 2, 3, 1)
        return 2 * (raw.sigmoid() * (1 - 2 * _COLOUR_MARGIN) + _COLOUR_MARGIN) - 1


class DptHeads(Heads):
    PARTS = "dpt_self", "dpt_cross", "dpt_rgb"

    def module(self, encoder_channels: int, channels: int, patch: int, planes: int) -> nn.Module:
        return Dpt(encoder_channels, channels, planes_of_fused(Dpt.WIDTH, planes))

    def planes(self, part: str, layers: list[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        return getattr(self, part)(layers, grid)


class LinearHeads(Heads):
    PARTS = "proj", "cross_proj", "rgb_proj"

    def module(self, encoder_channels: int, channels: int, patch: int, planes: int) -> nn.Module:
        self.patch = patch
        return Mlp(channels, _RATIO * channels, planes * patch**2)

    def planes(self, part: str, layers: list[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        tokens = getattr(self, part)(layers[-1])  # (B, N, planes * patch^2)
        return F.pixel_shuffle(tokens.transpose(1, 2).unflatten(2, grid), self.patch)

    def own(self, layers: list[torch.Tensor], grid: tuple[int, int]) -> Maps:
        """As of `Heads`, but points behind the camera are turned to its front; this head alone does that."""
        v, confidence = self.planes(self.PARTS[0], layers, grid).split((3, 1), dim=1)
        return activate(torch.cat([v * v[:, 2:].sign(), confidence], dim=1))


HEADS: dict[str, type[Heads]] = {"dpt": DptHeads, "linear": LinearHeads}
