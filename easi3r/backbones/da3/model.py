"""Depth Anything 3: a ViT in which every other block of the later ones looks across all frames, and its heads.

Source: specification da3.md, sections 3 to 5. Shapes: S frames of H x W pixels, N = h w patches of each (row-major grid
h x w), behind a special token: 1 + N tokens, C channels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..dust3r.layers import Linear, PatchEmbedding, grid_positions, rotary
from .heads import CameraDecoder, CameraEncoder, DualDpt
from .layers import Across, Block

_TABLE = 37  # the table of positions is of so many rows and columns
_OFFSET = 0.1  # added to the grid's sides when that table is resized
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of pixels in [0, 1], R G B
REFERENCES = ("saddle_balanced", "first", "middle")


@dataclass(frozen=True)
class Config:
    """Size of the network; as it stands, DA3-SMALL."""

    embed_dim: int = 384  # channels of the backbone
    depth: int = 12  # blocks
    num_heads: int = 6
    out_layers: tuple[int, ...] = (5, 7, 9, 11)  # blocks, from 0, whose output the head reads
    alt_start: int = 4  # from this block on odd ones look across all frames
    features: int = 64  # channels of the head
    out_channels: tuple[int, ...] = (48, 96, 192, 384)  # of its four maps
    camera_encoder_heads: int = 16
    max_side: int = 504  # long side of the frames, pixels
    patch: int = 14  # pixels per token side
    rope_base: float = 100.0  # of the rotary positions
    whole: bool = True  # also what only rays and known cameras need

    def looks_across(self, number: int) -> bool:
        """Whether block `number` looks across all frames."""
        return number >= self.alt_start and number % 2 == 1

    @property
    def enc_embed_dim(self) -> int:
        """Channels by the name that `placed` looks for."""
        return self.embed_dim


@dataclass(frozen=True)
class Output:
    """What the head reads of some frames."""

    level: int  # 0 to 3
    frames: slice
    features: torch.Tensor  # (B, N, 2C): of two neighbouring blocks
    camera: torch.Tensor  # special token (B, 2C)


class Backbone(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = c = config
        self.patch_embed = PatchEmbedding(c.embed_dim, c.patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, c.embed_dim))
        self.camera_token = nn.Parameter(torch.zeros(1, 2, c.embed_dim))  # of the reference, of the others
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + _TABLE**2, c.embed_dim))
        self.blocks = nn.ModuleList(
            Block(c.embed_dim, c.num_heads, 1e-6, normed=number >= c.alt_start) for number in range(c.depth)
        )
        self.norm = nn.LayerNorm(c.embed_dim)

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, H, W) float32, see `normalised`, -> tokens (B, 1 + N, C) with positions."""
        grid = images.shape[2] // self.config.patch, images.shape[3] // self.config.patch
        first, table = self.pos_embed.split((1, _TABLE**2), dim=1)
        if grid != (_TABLE, _TABLE):
            table = table.transpose(1, 2).unflatten(2, (_TABLE, _TABLE))  # (1, C, 37, 37)
            factors = [(side + _OFFSET) / _TABLE for side in grid]  # these, and not the size, map coordinates
            table = F.interpolate(table, scale_factor=factors, mode="bicubic").flatten(2).transpose(1, 2)
        patches = self.patch_embed(images) + table
        return torch.cat([(self.cls_token + first).expand(len(images), -1, -1), patches], dim=1)

    def outputs(
        self,
        frames: torch.Tensor,
        reference: str,
        known: torch.Tensor | None,
        batch: int,
        report: Callable[[float], None],
    ) -> Iterator[Output]:
        """What the head reads, of `batch` frames at a time, level by level; frames (S, H, W, 3) uint8.

        reference: how the frame is chosen that is told to be first, see `reference_view`; known: tokens (S, C) of known
        cameras instead, or None. report(fraction) follows the work.

        The published network puts the reference in front. Which place a frame has enters nowhere but in the camera
        token, so that here all stay where they are.
        """
        c, (count, height, width) = self.config, frames.shape[:3]
        groups = [slice(start, min(start + batch, count)) for start in range(0, count, batch)]
        xs = [self.embed(normalised(frames[group])) for group in groups]  # (B, 1 + N, C) each
        tokens, chosen = xs[0].shape[1], 0
        inside, special = self._ropes((height // c.patch, width // c.patch), frames.device)
        step = _steps(c, count, tokens, len(groups), report)
        blocks: list[Any] = list(self.blocks)[: c.out_layers[-1] + 1]
        for number, block in enumerate(blocks):
            if number == c.alt_start - 1:
                chosen = reference_view(torch.cat([x[:, 0] for x in xs]), reference)
            if number == c.alt_start:
                cameras = self._camera_tokens(count, chosen) if known is None else known
                for group, x in zip(groups, xs):
                    x[:, 0] = cameras[group]
            across = Across(block, count * tokens, special) if c.looks_across(number) else None
            if across:
                for x in xs:
                    across.add(x)
            for i, group in enumerate(groups):
                before = xs[i]
                xs[i] = across.after(before) if across else block(before, inside if number >= c.alt_start else None)
                if number in c.out_layers:
                    yield self._output(c.out_layers.index(number), group, before, xs[i])
                step(number)

    def _camera_tokens(self, count, reference):
        tokens = self.camera_token[0, 1].repeat(count, 1)  # (S, C)
        tokens[reference] = self.camera_token[0, 0]
        return tokens

    def _ropes(self, grid, device):
        """Rotary tables of the tokens within a frame, and of the special one across frames, seen from the patches.

        Across all frames the special token is at (0, 0) and every patch at (1, 1).
        """
        c, zero = self.config, torch.zeros((1, 2), device=device)
        places = torch.cat([zero, grid_positions(*grid, device) + 1]), zero - 1
        return tuple(rotary(place, c.embed_dim // c.num_heads, c.rope_base) for place in places)

    def _output(self, level, group, before, after):
        features = torch.cat([before[:, 1:], self.norm(after[:, 1:])], dim=-1)
        return Output(level, group, features, torch.cat([before[:, 0], after[:, 0]], dim=-1))


class Encoder(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.pretrained = Backbone(config)


class Parts(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        c, wide = config, 2 * config.embed_dim
        self.backbone = Encoder(c)
        self.head = DualDpt(wide, c.out_channels, c.features, c.whole)
        self.cam_dec = CameraDecoder(wide)
        if c.whole:
            self.cam_enc = CameraEncoder(c.embed_dim, c.camera_encoder_heads)


class DepthAnything3(nn.Module):
    """Frames -> what is seen in each of them and from where, all in one world."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.model = Parts(config)  # so the released names begin

    @property
    def backbone(self) -> Backbone:
        return self.model.backbone.pretrained

    @property
    def head(self) -> DualDpt:
        return self.model.head

    def cameras(self, special: torch.Tensor) -> torch.Tensor:
        """Special tokens (B, 2C) -> cameras (B, 9), see `CameraDecoder`."""
        return self.model.cam_dec(special)

    def camera_tokens(self, encoded: torch.Tensor) -> torch.Tensor:
        """Known cameras (S, 9), see `cameras.encoded`, -> tokens (S, C). Needs `Config.whole`."""
        return self.model.cam_enc(encoded)

    def set_precision(self, dtype: torch.dtype) -> "DepthAnything3":
        """Compute the backbone's matrix products in `dtype`; norms, residuals and heads stay float32."""
        for module in self.backbone.modules():
            if isinstance(module, Linear):
                module.to(dtype)
        return self


def normalised(frames: torch.Tensor) -> torch.Tensor:
    """Frames (B, H, W, 3) uint8 RGB as the backbone takes them: (B, 3, H, W) float32 of about mean 0 and variance 1."""
    mean, spread = (torch.tensor(values, device=frames.device) for values in (_MEAN, _SPREAD))
    return ((frames / 255 - mean) / spread).permute(0, 3, 1, 2)


def reference_view(tokens: torch.Tensor, how: str) -> int:
    """Which frame is told to be first, by class tokens (S, C): specification, section 4; of one or two the first."""
    if len(tokens) < 3 or how == "first":
        return 0
    return len(tokens) // 2 if how == "middle" else int(imbalance(tokens).argmin())


def imbalance(tokens: torch.Tensor) -> torch.Tensor:
    """How far each frame is from the middle of all, (S,), in likeness to the others, length and variance of its class
    token (S, C).
    """
    length = tokens.norm(dim=1)
    unit = tokens / length[:, None]
    likeness = ((unit @ unit.T).sum(dim=1) - 1) / (len(tokens) - 1)
    scores = torch.stack([likeness, length, unit.var(dim=1)])  # (3, S)
    low, high = scores.aminmax(dim=1, keepdim=True)
    return ((scores - low) / (high - low + 1e-8) - 0.5).abs().sum(dim=0)


def _steps(config: Config, count: int, n: int, groups: int, report: Callable[[float], None]) -> Callable[[int], None]:
    """A function to call after a group of frames went through a block of that number; it reports the work done.

    The work per token: of products with weights 6 C, of attention the tokens looked at (a multiply-add as 1 / 4 C).
    """
    looks = (count if config.looks_across(number) else 1 for number in range(config.out_layers[-1] + 1))
    each = [6 * config.embed_dim + n * frames for frames in looks]
    whole, done = sum(each) * groups, 0

    def step(number):
        nonlocal done
        done += each[number]
        report(done / whole)

    return step
