"""The two-view transformer: encoder, two decoders side by side, two heads; with DAS3R's weights two more."""

from dataclasses import dataclass

import torch
from torch import nn

from .heads import HEADS, MaskHead, activate, kept_layers
from .layers import DecoderBlock, EncoderBlock, Linear, Moving, PatchEmbedding, norm, rope_table

Layers = list[torch.Tensor]  # what a head reads: (B, N, C) float32 each, see `kept_layers`


@dataclass(frozen=True)
class Config:
    """Size of the network. `released` names the published ones."""

    enc_embed_dim: int = 1024  # channels of the encoder
    enc_depth: int = 24  # blocks
    enc_num_heads: int = 16
    dec_embed_dim: int = 768  # channels of each decoder
    dec_depth: int = 12
    dec_num_heads: int = 12
    head_type: str = "dpt"  # or "linear"
    max_side: int = 512  # long side of the images it was trained on, pixels
    patch: int = 16  # pixels per token side
    mlp_ratio: int = 4  # hidden channels of an MLP per channel
    rope_base: float = 100.0  # of the rotary positions
    mask_heads: bool = False  # whether it also says what moves, as DAS3R does


class TwoViewTransformer(nn.Module):
    """Images of two views -> a point and a confidence per pixel of both, in the camera frame of view 1.

    Three steps, so that callers share what they can: `encode` once per frame, `decode` per pair, `points` per view.
    H and W are multiples of the patch; a grid is (h, w) = (H, W) / patch, N = h * w.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = c = config
        self.mask_token = nn.Parameter(torch.zeros(1, 1, c.dec_embed_dim))  # in the checkpoints, unused
        self.patch_embed = PatchEmbedding(c.enc_embed_dim, c.patch)
        self.enc_blocks = nn.ModuleList(
            EncoderBlock(c.enc_embed_dim, c.enc_num_heads, c.mlp_ratio) for _ in range(c.enc_depth)
        )
        self.enc_norm = norm(c.enc_embed_dim)
        self.decoder_embed = Linear(c.enc_embed_dim, c.dec_embed_dim)
        self.dec_blocks, self.dec_blocks2 = (
            nn.ModuleList(DecoderBlock(c.dec_embed_dim, c.dec_num_heads, c.mlp_ratio) for _ in range(c.dec_depth))
            for _ in range(2)
        )
        self.dec_norm = norm(c.dec_embed_dim)
        head = HEADS[c.head_type]
        self.downstream_head1 = head(c.enc_embed_dim, c.dec_embed_dim, c.patch)
        self.downstream_head2 = head(c.enc_embed_dim, c.dec_embed_dim, c.patch)
        if c.mask_heads:
            self.downstream_head_dynamic_mask1 = MaskHead(c.enc_embed_dim, c.dec_embed_dim, c.patch)
            self.downstream_head_dynamic_mask2 = MaskHead(c.enc_embed_dim, c.dec_embed_dim, c.patch)
        self.kept = kept_layers(c.head_type, c.dec_depth)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, H, W) float32 RGB in [-1, 1] -> tokens (B, N, C_enc) float32 after `enc_norm`."""
        c = self.config
        grid = images.shape[2] // c.patch, images.shape[3] // c.patch
        rope = rope_table(*grid, c.enc_embed_dim // c.enc_num_heads, c.rope_base, images.device)
        x = self.patch_embed(images)
        for block in self.enc_blocks:
            x = block(x, rope)
        return self.enc_norm(x)

    def decode(
        self,
        tokens1: torch.Tensor,
        tokens2: torch.Tensor,
        grid: tuple[int, int],
        moving: Moving | None = None,
        only_evidence: bool = False,
    ) -> tuple[Layers | None, Layers | None, torch.Tensor, torch.Tensor]:
        """Both decoders over B pairs of encoded views, tokens (B, N, C_enc).

        `moving`: None, or (view 1, view 2), bool (B, N) each: re-weight decoder 1's cross-attention by these masks.

        Returns (layers1, layers2, evidence1, evidence2). Layers: what the heads read, or None with `only_evidence`.
        Evidence (B, N, layers * heads) float32, layer-major: cross-attention logits averaged over the queries;
        evidence1, of decoder 1, per token of view 2; evidence2, of decoder 2, per token of view 1.
        """
        c = self.config
        rope = rope_table(*grid, c.dec_embed_dim // c.dec_num_heads, c.rope_base, tokens1.device)
        layers1, layers2 = {0: tokens1}, {0: tokens2}  # those that the heads read; 0 is the encoder's output
        x1, x2 = self.decoder_embed(tokens1).float(), self.decoder_embed(tokens2).float()
        evidence1, evidence2 = [], []
        for number, (block1, block2) in enumerate(zip(self.dec_blocks, self.dec_blocks2), 1):
            last = only_evidence and number == c.dec_depth  # the rest of the last block would lead nowhere
            (x1, e1), (x2, e2) = block1(x1, x2, rope, moving, last), block2(x2, x1, rope, None, last)
            evidence1.append(e1)
            evidence2.append(e2)
            if number in self.kept:
                layers1[number], layers2[number] = x1, x2
        evidence = torch.cat(evidence1, dim=-1), torch.cat(evidence2, dim=-1)
        if only_evidence:
            return None, None, *evidence
        layers1[c.dec_depth], layers2[c.dec_depth] = self.dec_norm(x1), self.dec_norm(x2)
        return [layers1[k] for k in self.kept], [layers2[k] for k in self.kept], *evidence

    def points(self, layers: Layers, grid: tuple[int, int], view: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Head of view 1 or 2 on its kept layers -> points (B, H, W, 3) in view 1's frame, confidence (B, H, W)."""
        head = self.downstream_head1 if view == 1 else self.downstream_head2
        return activate(head(layers, grid))

    def moving(self, layers: Layers, grid: tuple[int, int], view: int) -> torch.Tensor:
        """Mask head of view 1 or 2 on its kept layers -> logits (B, H, W) of moving. Needs `Config.mask_heads`."""
        head = self.downstream_head_dynamic_mask1 if view == 1 else self.downstream_head_dynamic_mask2
        return head(layers, grid)[:, 0]

    def set_precision(self, dtype: torch.dtype) -> "TwoViewTransformer":
        """Compute the transformer's matrix products in `dtype`; norms, residuals and heads stay float32."""
        for part in (self.enc_blocks, self.decoder_embed, self.dec_blocks, self.dec_blocks2):
            for module in part.modules():
                if isinstance(module, Linear):
                    module.to(dtype)
        return self
