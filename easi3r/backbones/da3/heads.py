"""Heads: tokens of the backbone -> depth, rays and cameras. Always float32.

Source of the formulas: specification da3.md, sections 5 to 7. Module and parameter names are those of the released
state dicts. Shapes: B frames of H x W pixels, a grid of h x w tokens, C channels of the backbone.
"""

import functools
import itertools
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ..dust3r.heads import Refinement
from ..dust3r.layers import Mlp
from .layers import Block

LEVELS = 4  # outputs of the backbone that the head reads
_HIDDEN = 32  # channels before the last convolution, whatever the configuration
_TRUNK = 4  # blocks of the encoder of cameras
_WAVES = 0.1  # amplitude of the positions that are added to maps

Maps = list[torch.Tensor]  # four levels, fine to coarse, (B, channels of the level, ...) each


class Scratch(nn.Module):
    """From four maps to one, for depth and, with `rays`, for rays: two chains with weights of their own."""

    def __init__(self, widths: Sequence[int], width: int, rays: bool) -> None:
        super().__init__()
        half = width // 2
        for number, channels in enumerate(widths, 1):
            self.add_module(f"layer{number}_rn", _convolution(channels, width, bias=False))
        for number in range(1, LEVELS + 1):
            for chain in ("", "_aux") if rays else ("",):
                self.add_module(f"refinenet{number}{chain}", Refinement(width, lateral=number < LEVELS))
        self.output_conv1 = _convolution(width, half)
        self.output_conv2 = nn.Sequential(_convolution(half, _HIDDEN), nn.ReLU(inplace=True), nn.Conv2d(_HIDDEN, 2, 1))
        if rays:  # of its four levels only the last is used, with the norm that stands under the name of the first
            widths = (width, half, width, half, width, half)
            self.output_conv1_aux = nn.ModuleList(
                nn.Sequential(*(_convolution(a, b) for a, b in itertools.pairwise(widths))) for _ in range(LEVELS)
            )
            outputs = [
                nn.ModuleDict({"0": _convolution(half, _HIDDEN), "5": nn.Conv2d(_HIDDEN, 7, 1)}) for _ in range(LEVELS)
            ]
            outputs[0]["2"] = nn.LayerNorm(_HIDDEN)
            self.output_conv2_aux = nn.ModuleList(outputs)

    def fused(self, maps: Maps, chain: str) -> torch.Tensor:
        """Four maps -> (B, width, 8h, 8w)."""
        laterals = [self.get_submodule(f"layer{number}_rn")(x) for number, x in enumerate(maps, 1)]
        sizes = [None, *(x.shape[-2:] for x in laterals)]  # to come to, by the number of a step
        path = self.get_submodule(f"refinenet{LEVELS}{chain}")(laterals[-1], size=sizes[-2])
        for number in range(LEVELS - 1, 0, -1):
            step = self.get_submodule(f"refinenet{number}{chain}")
            path = step(path, laterals[number - 1], size=sizes[number - 1])
        return path


class DualDpt(nn.Module):
    """Frames are independent of each other here."""

    def __init__(self, channels: int, widths: Sequence[int], width: int, rays: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.projects = nn.ModuleList(nn.Conv2d(channels, w, 1) for w in widths)
        first, second, _, fourth = widths
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(first, first, 4, stride=4),
                nn.ConvTranspose2d(second, second, 2, stride=2),
                nn.Identity(),
                nn.Conv2d(fourth, fourth, 3, stride=2, padding=1),
            ]
        )
        self.scratch = Scratch(widths, width, rays)

    def project(self, level: int, features: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """An output of the backbone (B, N, 2C) as a map (B, channels of the level, h, w): a quarter of it to keep."""
        x = self.norm(features).unflatten(1, grid).permute(0, 3, 1, 2)  # (B, 2C, h, w), channels last in memory
        return add_positions(self.projects[level](x), grid)

    def depth(self, maps: Maps, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Projected maps of frames of (H, W) pixels -> z depth and confidence > 1, (B, H, W) each."""
        x = self.scratch.output_conv1(self.scratch.fused(self._resized(maps), ""))
        x = F.interpolate(x, size, mode="bilinear", align_corners=True)
        x = self.scratch.output_conv2(add_positions(x, size)).exp().clamp_max(torch.finfo(x.dtype).max)
        return x[:, 0], 1 + x[:, 1]

    def rays(self, maps: Maps, grid: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Projected maps -> rays (B, 8h, 8w, 6), direction and origin in the world, and confidence (B, 8h, 8w) > 1."""
        x = self.scratch.output_conv1_aux[-1](self.scratch.fused(self._resized(maps), "_aux"))
        names = (f"output_conv2_aux.{LEVELS - 1}.0", "output_conv2_aux.0.2", f"output_conv2_aux.{LEVELS - 1}.5")
        hidden, norm, last = map(self.scratch.get_submodule, names)
        x = norm(hidden(add_positions(x, grid)).permute(0, 2, 3, 1))  # (B, 8h, 8w, 32), over the channels
        x = last(x.relu().permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # (B, 8h, 8w, 7)
        return x[..., :6], 1 + x[..., 6].exp()

    def _resized(self, maps):
        return [resize(x) for resize, x in zip(self.resize_layers, maps)]


class CameraDecoder(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, channels), nn.ReLU()
        )
        self.fc_t, self.fc_qvec = nn.Linear(channels, 3), nn.Linear(channels, 4)
        self.fc_fov = nn.Sequential(nn.Linear(channels, 2), nn.ReLU())

    def forward(self, camera: torch.Tensor) -> torch.Tensor:
        """Special tokens (B, 2C) -> camera to world (B, 9): position, quaternion x, y, z, w of any length, vertical
        and horizontal field of view in radians.
        """
        x = self.backbone(camera)
        return torch.cat([self.fc_t(x), self.fc_qvec(x), self.fc_fov(x)], dim=-1)


class CameraEncoder(nn.Module):
    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.pose_branch = Mlp(9, channels // 2, channels)
        self.token_norm = nn.LayerNorm(channels)
        self.trunk = nn.Sequential(*(Block(channels, heads, eps=1e-5) for _ in range(_TRUNK)))
        self.trunk_norm = nn.LayerNorm(channels)

    def forward(self, encoded: torch.Tensor) -> torch.Tensor:
        """Known cameras (S, 9), see `cameras.encoded`, -> their tokens (S, C)."""
        x = self.token_norm(self.pose_branch(encoded))
        return self.trunk_norm(self.trunk(x[None])[0])


def _convolution(source: int, width: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(source, width, 3, padding=1, bias=bias)


def add_positions(x: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Maps (B, channels, h', w'), changed in place: a wave is added to each channel, along the rows or the columns.

    shape: (height, width) of the picture in any unit; the waves' length goes by its diagonal. Specification, 5.2.
    """
    return x.add_(_waves(*x.shape[1:], shape[1] / shape[0], x.device))


@functools.lru_cache(maxsize=8)  # a network needs five of one size of frames, the largest of 18 MB (SMALL, 504 x 280)
def _waves(channels: int, height: int, width: int, aspect: float, device: torch.device) -> torch.Tensor:
    """(channels, h', w'), channels last in memory."""
    quarter, diagonal = channels // 4, (aspect**2 + 1) ** 0.5
    frequencies = 100 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    parts = []
    for count, extent in ((width, aspect / diagonal), (height, 1 / diagonal)):
        end = extent * (count - 1) / count
        angles = torch.linspace(-end, end, count, dtype=torch.float64)[:, None] * frequencies  # (count, quarter)
        parts.append((_WAVES * torch.cat([angles.sin(), angles.cos()], dim=1)).float())
    along_x, along_y = parts[0].expand(height, -1, -1), parts[1][:, None].expand(-1, width, -1)
    return torch.cat([along_x, along_y], dim=2).to(device).permute(2, 0, 1)
