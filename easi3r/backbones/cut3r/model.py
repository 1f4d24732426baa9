"""The recurrent transformer: frames one by one, a state and a memory of poses carried along.

Source: specification cut3r.md. Shapes: B batch, E and C channels of encoder and decoder, N tokens of a frame (row-major
grid h x w), S state tokens, M slots of the memory.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from ..dust3r import model as two_view
from ..dust3r.heads import kept_layers
from ..dust3r.layers import DecoderParts, EncoderBlock, Linear, PatchEmbedding, grid_positions, norm, rope_table, rotary
from .heads import HEADS, Maps

RAY_HEADS = 16  # attention heads of the encoder of ray maps, whatever the configuration
_MEMORY_BLOCKS = 2  # to read and to write the memory, each


@dataclass(frozen=True)
class Config(two_view.Config):
    """Size of the network; as it stands, the released one with DPT heads."""

    state_size: int = 768  # tokens of the state
    state_dec_num_heads: int = 16
    local_mem_size: int = 256  # slots of the pose memory
    ray_enc_depth: int = 2  # blocks of the encoder of ray maps
    rgb_head: bool = True


@dataclass(frozen=True)
class Carried:
    """What goes from frame to frame, of the same size however many there are."""

    state: torch.Tensor  # (B, S, C) float32
    memory: torch.Tensor  # (B, M, 2 C) float32


@dataclass(frozen=True)
class Decoded:
    """What the decoders make of a frame."""

    layers: list[torch.Tensor]  # what the heads read: (B, N, C) each, see `kept_layers`
    pose: torch.Tensor  # the pose token, (B, 1, C)
    state: torch.Tensor  # the next state, (B, S, C)


class Block(DecoderParts):
    """A decoder block between two sets of tokens with positions of their own, or none."""

    def forward(
        self, x: torch.Tensor, other: torch.Tensor, rope: torch.Tensor | None, other_rope: torch.Tensor | None
    ) -> torch.Tensor:
        """x (B, N, C) after a look at itself and at the other's previous layer (B, K, C), float32.

        rope, other_rope: their rotary tables, both for this block's head dimension.
        """
        x = self.attn.add_to(x, self.norm1(x), rope)
        memory = self.norm_y(other)
        q, k = self.cross_attn.queries_and_keys(self.norm2(x), memory, rope, other_rope)
        x = self.cross_attn.add_to(x, q, k, memory)
        return self.mlp.add_to(x, self.norm3(x))


class PoseMemory(nn.Module):
    """Slots that remember which picture was seen from where."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        c, width = config, 2 * config.dec_embed_dim
        self.masked_token = nn.Parameter(torch.zeros(1, 1, c.dec_embed_dim))
        self.mem = nn.Parameter(torch.zeros(1, c.local_mem_size, width))
        self.proj_q = Linear(c.enc_embed_dim, c.dec_embed_dim)
        self.read_blocks, self.write_blocks = (
            nn.ModuleList(Block(width, c.dec_num_heads, c.mlp_ratio) for _ in range(_MEMORY_BLOCKS)) for _ in range(2)
        )

    def read(self, tokens: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """The pose token (B, 1, C) that a picture's tokens (B, N, E) bring to mind."""
        picture = self._picture(tokens)
        x = torch.cat([picture, self.masked_token.expand_as(picture)], dim=-1)  # (B, 1, 2 C)
        for block in self.read_blocks:
            x = block(x, memory, None, None)
        return x.chunk(2, dim=-1)[1]

    def write(self, tokens: torch.Tensor, pose: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """The memory (B, M, 2 C) with a picture's tokens (B, N, E) and its pose token (B, 1, C) in it."""
        y = torch.cat([self._picture(tokens), pose], dim=-1)  # (B, 1, 2 C)
        for block in self.write_blocks:
            memory = block(memory, y, None, None)
        return memory

    def _picture(self, tokens):
        return self.proj_q(tokens.mean(dim=1, keepdim=True))  # (B, 1, C)


class RecurrentTransformer(nn.Module):
    """Frames -> points, confidence and camera of each, in the order in which they are shown.

    For every frame: `encode`, `decode` with what is `Carried` (at first: `start`), the heads, then `remember`. H and W
    are multiples of the patch; a grid is (h, w) = (H, W) / patch.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = c = config
        self.pose_token = nn.Parameter(torch.zeros(1, 1, c.dec_embed_dim))
        # in the checkpoints, of sequences that mix pictures and ray maps; unused
        self.masked_img_token = nn.Parameter(torch.zeros(1, c.enc_embed_dim))
        self.masked_ray_map_token = nn.Parameter(torch.zeros(1, c.enc_embed_dim))
        self.patch_embed = PatchEmbedding(c.enc_embed_dim, c.patch)
        self.patch_embed_ray_map = PatchEmbedding(c.enc_embed_dim, c.patch, 6)
        self.enc_blocks, self.enc_blocks_ray_map = (
            nn.ModuleList(EncoderBlock(c.enc_embed_dim, heads, c.mlp_ratio) for _ in range(depth))
            for depth, heads in ((c.enc_depth, c.enc_num_heads), (c.ray_enc_depth, RAY_HEADS))
        )
        self.enc_norm, self.enc_norm_ray_map = norm(c.enc_embed_dim), norm(c.enc_embed_dim)
        self.decoder_embed, self.decoder_embed_state = (Linear(c.enc_embed_dim, c.dec_embed_dim) for _ in range(2))
        self.dec_blocks, self.dec_blocks_state = (
            nn.ModuleList(Block(c.dec_embed_dim, heads, c.mlp_ratio) for _ in range(c.dec_depth))
            for heads in (c.dec_num_heads, c.state_dec_num_heads)
        )
        self.dec_norm, self.dec_norm_state = norm(c.dec_embed_dim), norm(c.dec_embed_dim)
        self.register_tokens = nn.Embedding(c.state_size, c.enc_embed_dim)
        self.pose_retriever = PoseMemory(c)
        sizes = c.enc_embed_dim, c.dec_embed_dim, c.dec_num_heads, c.patch
        self.downstream_head = HEADS[c.head_type](*sizes, c.rgb_head)
        self.kept = kept_layers(c.head_type, c.dec_depth)

    def start(self, batch: int = 1) -> Carried:
        """What is known before the first frame: nothing of any picture."""
        state = self.decoder_embed_state(self.register_tokens.weight).float()  # (S, C)
        return Carried(state.expand(batch, -1, -1), self.pose_retriever.mem.expand(batch, -1, -1))

    def encode(self, images: torch.Tensor, half_rope: bool = True) -> torch.Tensor:
        """Images (B, 3, H, W) float32 RGB in [-1, 1] -> tokens (B, N, E) float32.

        half_rope: round queries and keys to float16 before and after they are turned, as the published network's
        kernel does in this encoder and nowhere else.
        """
        rope = self._encoder_rope(images, self.config.enc_num_heads)
        x = self.patch_embed(images)
        for block in self.enc_blocks:
            x = block(x, rope, half_rope)
        return self.enc_norm(x)

    def encode_rays(self, rays: torch.Tensor) -> torch.Tensor:
        """Tokens (B, N, E) of a camera without a picture, to `decode` with first=False and not to `remember`.

        rays (B, 6, H, W) float32: the camera's centre, and the unit vector towards the point at depth 1, both in the
        common frame (specification, section 14).
        """
        rope = self._encoder_rope(rays, RAY_HEADS)
        x = self.patch_embed_ray_map(rays)
        for block in self.enc_blocks_ray_map:
            x = block(x, rope)
        return self.enc_norm_ray_map(x)

    def _encoder_rope(self, planes, heads):
        c = self.config
        grid = planes.shape[2] // c.patch, planes.shape[3] // c.patch
        return rope_table(*grid, c.enc_embed_dim // heads, c.rope_base, planes.device)

    def decode(self, tokens: torch.Tensor, grid: tuple[int, int], carried: Carried, first: bool) -> Decoded:
        """Both decoders over a frame's tokens (B, N, E) and the state; first: of all frames, also after a reset."""
        if first:
            pose = self.pose_token.expand(len(tokens), -1, -1)
        else:
            pose = self.pose_retriever.read(tokens, carried.memory)
        x = torch.cat([pose, self.decoder_embed(tokens).float()], dim=1)  # (B, 1 + N, C)
        state, kept = carried.state, {0: tokens}
        wide, narrow = self._decoder_ropes(grid, tokens.device)
        for number, (block, state_block) in enumerate(zip(self.dec_blocks, self.dec_blocks_state), 1):
            # each reads the other's previous layer
            x, state = block(x, state, *wide), state_block(state, x, *narrow)
            if number in self.kept:
                kept[number] = x[:, 1:]
        x = self.dec_norm(x)
        kept[self.config.dec_depth] = x[:, 1:]
        return Decoded([kept[k] for k in self.kept], x[:, :1], self.dec_norm_state(state))

    def _decoder_ropes(self, grid, device):
        """Rotary tables (own, other's positions) of the frame's decoder, and of the state's, by their head dimensions.

        The pose token is in front of the frame's tokens, at (-1, -1).
        """
        c = self.config
        frame = torch.cat([torch.full((1, 2), -1, device=device), grid_positions(*grid, device)])
        state = state_positions(c.state_size, device)
        wide, narrow = (c.dec_embed_dim // heads for heads in (c.dec_num_heads, c.state_dec_num_heads))
        return (
            (rotary(frame, wide, c.rope_base), rotary(state, wide, c.rope_base)),
            (rotary(state, narrow, c.rope_base), rotary(frame, narrow, c.rope_base)),
        )

    def remember(self, tokens: torch.Tensor, decoded: Decoded, carried: Carried) -> Carried:
        """What the next frame starts from, with this one in it."""
        return Carried(decoded.state, self.pose_retriever.write(tokens, decoded.pose, carried.memory))

    def camera(self, decoded: Decoded) -> torch.Tensor:
        """Camera-to-world (B, 7): translation, and quaternion w, x, y, z."""
        return self.downstream_head.pose_head(decoded.pose)

    def own_points(self, decoded: Decoded, grid: tuple[int, int]) -> Maps:
        """Points (B, H, W, 3) in the frame's own camera, confidence (B, H, W)."""
        return self.downstream_head.own(decoded.layers, grid)

    def common_points(self, decoded: Decoded, grid: tuple[int, int]) -> Maps:
        """Points (B, H, W, 3) in the common frame, about that of the first camera, confidence (B, H, W)."""
        c = self.config
        rope = rope_table(*grid, c.dec_embed_dim // c.dec_num_heads, c.rope_base, decoded.pose.device)
        return self.downstream_head.common(decoded.layers, grid, decoded.pose, rope)

    def colour(self, decoded: Decoded, grid: tuple[int, int]) -> torch.Tensor:
        """RGB (B, H, W, 3) in [-1, 1], of networks with `rgb_head`."""
        return self.downstream_head.colour(decoded.layers, grid)

    def set_precision(self, dtype: torch.dtype) -> "RecurrentTransformer":
        """Compute the transformer's matrix products in `dtype`; norms, residuals, memory and heads stay float32."""
        for part in (self.enc_blocks, self.decoder_embed, self.dec_blocks, self.dec_blocks_state):
            for module in part.modules():
                if isinstance(module, Linear):
                    module.to(dtype)
        return self


def state_positions(count: int, device: torch.device) -> torch.Tensor:
    """(row, column) of the state's tokens, (S, 2): row by row, on a grid that has nothing to do with the picture's."""
    width = math.isqrt(count)
    width += width % 2
    number = torch.arange(count, device=device)
    return torch.stack([number // width, number % width], dim=1)
