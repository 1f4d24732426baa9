"""Heads: tokens of some decoder layers -> a point and a confidence per pixel, and whether it moves. Always float32.

All heads take the list of kept layers (see `kept_layers`), each (B, N, C) float32. Those of `HEADS` give (B, 4, H, W):
raw x, y, z and confidence. Module and parameter names are those of the released state dicts.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional as F


def kept_layers(head: str, depth: int) -> tuple[int, ...]:
    """Which layers a head reads, counted with the encoder's output as 0 and decoder block i as i; at most `depth`."""
    return (0, depth * 2 // 4, depth * 3 // 4, depth) if head == "dpt" else (depth,)


class LinearHead(nn.Module):
    """Every token becomes its own patch of pixels."""

    def __init__(self, encoder_channels: int, decoder_channels: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.proj = nn.Linear(decoder_channels, 4 * patch**2)

    def forward(self, layers: list[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        tokens = self.proj(layers[-1])  # (B, N, 4 * patch^2)
        return F.pixel_shuffle(tokens.transpose(1, 2).unflatten(2, grid), self.patch)


class DptHead(nn.Module):
    """Four layers as feature maps at 1/4, 1/8, 1/16 and 1/32 of the resolution, fused from coarse to fine."""

    def __init__(self, encoder_channels: int, decoder_channels: int, patch: int) -> None:
        super().__init__()
        self.dpt = Dpt(encoder_channels, decoder_channels, self.output(Dpt.WIDTH))

    @staticmethod
    def output(width: int) -> nn.Sequential:
        """From fused maps (B, width, H/2, W/2)."""
        return planes_of_fused(width, 4)

    def forward(self, layers: list[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        return self.dpt(layers, grid)


def planes_of_fused(width: int, planes: int) -> nn.Sequential:
    """The last part of a DPT head: fused maps (B, width, H/2, W/2) -> (B, planes, H, W)."""
    return nn.Sequential(
        nn.Conv2d(width, width // 2, 3, padding=1),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        nn.Conv2d(width // 2, 128, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(128, planes, 1),
    )


class MaskHead(DptHead):
    """DAS3R's: (B, 1, H, W), the logit of the probability that a pixel moves. Source: its specification, section 3.1.

    The identity, where there was a norm, and the dropout, off here, keep the numbers of the released names.
    """

    @staticmethod
    def output(width: int) -> nn.Sequential:
        """From fused maps (B, width, H/2, W/2)."""
        return nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.Identity(),
            nn.ReLU(inplace=True),
            nn.Dropout(0.1),
            nn.Conv2d(width, 1, 1),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        )


class Dpt(nn.Module):
    WIDTHS = (96, 192, 384, 768)
    WIDTH = 256

    def __init__(self, encoder_channels: int, decoder_channels: int, output: nn.Sequential) -> None:
        super().__init__()
        resize: tuple[Callable[[int], list[nn.Module]], ...] = (
            lambda c: [nn.ConvTranspose2d(c, c, 4, stride=4)],
            lambda c: [nn.ConvTranspose2d(c, c, 2, stride=2)],
            lambda c: [],
            lambda c: [nn.Conv2d(c, c, 3, stride=2, padding=1)],
        )
        sources = (encoder_channels, decoder_channels, decoder_channels, decoder_channels)
        self.act_postprocess = nn.ModuleList(
            nn.Sequential(nn.Conv2d(source, width, 1), *more(width))
            for source, width, more in zip(sources, self.WIDTHS, resize)
        )
        self.scratch = Scratch(self.WIDTHS, self.WIDTH)
        self.head = output

    def forward(self, layers: list[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        """Four layers (B, N, C) of the grid (h, w) -> (B, channels of the output, 16 h, 16 w)."""
        maps = [x.transpose(1, 2).unflatten(2, grid) for x in layers]  # (B, C, h, w) each
        if maps[0].device.type == "cpu":  # oneDNN's convolutions are fastest with channels last
            maps = [x.contiguous(memory_format=torch.channels_last) for x in maps]
        laterals = [prepare(x) for prepare, x in zip(self.act_postprocess, maps)]
        return self.head(self.scratch(laterals))


class Scratch(nn.Module):
    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(w, width, 3, padding=1, bias=False) for w in widths]
        for number, convolution in enumerate(convolutions, 1):
            self.add_module(f"layer{number}_rn", convolution)
        self.layer_rn = nn.ModuleList(convolutions)  # the released checkpoints list the same tensors under both names
        self.refinenet1, self.refinenet2, self.refinenet3, self.refinenet4 = (Refinement(width) for _ in range(4))

    def forward(self, laterals: list[torch.Tensor]) -> torch.Tensor:
        l1, l2, l3, l4 = (convolution(x) for convolution, x in zip(self.layer_rn, laterals))
        path = self.refinenet4(l4)[..., : l3.shape[-2], : l3.shape[-1]]  # an odd grid was rounded up at 1/32
        path = self.refinenet3(path, l3)
        path = self.refinenet2(path, l2)
        return self.refinenet1(path, l1)


class Refinement(nn.Module):
    def __init__(self, width: int, lateral: bool = True) -> None:
        super().__init__()
        self.out_conv = nn.Conv2d(width, width, 1)
        if lateral:
            self.resConfUnit1 = ResidualUnit(width)
        self.resConfUnit2 = ResidualUnit(width)

    def forward(
        self, path: torch.Tensor, lateral: torch.Tensor | None = None, size: tuple[int, int] | None = None
    ) -> torch.Tensor:
        """The path (B, width, h, w), with a lateral of its shape, at `size` (height, width); None: twice its own."""
        if lateral is not None:
            path = self.resConfUnit1(lateral).add_(path)
        path = self.resConfUnit2(path)
        # A 1 x 1 convolution and interpolation commute (weights sum to 1): in this order it is a quarter of the work.
        scale = 2 if size is None else None
        return F.interpolate(self.out_conv(path), size, scale, mode="bilinear", align_corners=True)


class ResidualUnit(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv2(F.relu_(self.conv1(F.relu(x)))).add_(x)


HEADS = {"linear": LinearHead, "dpt": DptHead}


def activate(raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Raw (B, 4, H, W) -> points (B, H, W, 3) and confidence (B, H, W) >= 1, float32.

    point = v / |v| * expm1(|v|) for the raw v; confidence = 1 + exp(raw).
    """
    v, confidence = raw.permute(0, 2, 3, 1).split((3, 1), dim=-1)
    return expand(v), 1 + confidence[..., 0].exp().clamp_max(torch.finfo(raw.dtype).max)


def expand(v: torch.Tensor) -> torch.Tensor:
    """v / |v| * expm1(|v|) of vectors (..., 3), finite."""
    distance = v.norm(dim=-1, keepdim=True)
    return v / distance.clamp_min(1e-8) * distance.expm1().clamp_max(torch.finfo(v.dtype).max)
