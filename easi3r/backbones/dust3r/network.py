"""The two-view network as systems use it: batches of pairs, precision, devices, Easi3R's two passes."""

import functools
import hashlib
import os
import time
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from torch.nn import functional as F

from ...errors import InputError
from ...memory import ran_out
from ..base import Edges, Features, PairAttention, PairPrediction, Predictions, Progress
from .model import TwoViewTransformer

_LARGEST_BATCH = {"cpu": 2, "mps": 4, "cuda": 16}  # pairs: on a CPU more brings nothing; on a GPU it bounds memory
HEAD_SHARE = 4  # the heads run on batches this many times smaller
_BIG_NETWORK = 512  # encoder channels; below, lower precision would save nothing worth its error
_HALF_MAX = float(np.finfo(np.float16).max)
Model = TypeVar("Model", bound=Any)  # with a `config` and `set_precision`


class Dust3rNetwork:
    """DUSt3R, MonST3R and their kin: an `AttentionNetwork`.

    model: `TwoViewTransformer` with weights. name: as shown to the user. info: what to record about the weights.
    device: "cpu", "cuda", "mps"; None picks the best one. precision: "float32" computes and hands on everything in
    float32; "bfloat16" the transformer's products in bfloat16 and the rest in float32; None picks what is faster here.
    Unless float32 was asked for, predictions are handed on as float16.
    """

    def __init__(
        self,
        model: TwoViewTransformer,
        name: str = "DUSt3R",
        info: dict | None = None,
        device: str | None = None,
        precision: str | None = None,
    ) -> None:
        self.name = name
        self.encoder_hash = _encoder_hash(model)
        self.model, self.device, self.precision = placed(model, device, precision)
        self.patch, self.max_side = model.config.patch, model.config.max_side
        self.largest_batch = _LARGEST_BATCH.get(self.device.split(":")[0], 1)
        self.prediction_dtype = torch.float32 if precision == "float32" else torch.float16
        self.info = {"name": name, "device": self.device, "precision": self.precision, **(info or {})}

    def encode(self, frames: np.ndarray, progress: Progress | None = None) -> Features:
        """Encoder tokens of frames (T,H,W,3) uint8 RGB after the encoder's last norm, once for both passes.

        `Features.data` is a tensor (T,h,w,C) float32 on the device. Raises `InputError` for frames of another shape or
        type, or whose sides are no multiples of `patch`.
        """
        grid = grid_of(frames, self.patch)
        tokens = torch.empty((len(frames), *grid, self.model.config.enc_embed_dim), device=self.device)
        working = 64 * tokens[0].numel()  # bytes per frame: a dozen float32 activations
        batches = self._batches(list(range(len(frames))), lambda chunk: self._encode(frames[chunk]), working)
        for done, chunk, encoded in batches:
            tokens[chunk] = encoded.view(-1, *tokens.shape[1:])
            _report(progress, done / len(frames), "Encoding frames")
        return Features(frames, tokens.cpu().numpy(), tokens)

    def attention(self, features: Features, edges: Edges, progress: Progress | None = None) -> Iterator[PairAttention]:
        """Cross-attention per directed pair (i, j), in the order of `edges`; no geometry heads, no N x N matrix."""
        edges = [(int(i), int(j)) for i, j in edges]
        run = functools.partial(self._decode, features.data, only_evidence=True)
        working = self.decoder_bytes(*features.frames.shape[1:3])
        for done, chunk, (_, evidence) in self._batches(edges, run, working):
            yield from _attentions(chunk, evidence, features.grid)
            _report(progress, done / len(edges), "Reading motion from attention")

    def predict(
        self, features: Features, edges: Edges, masks: np.ndarray | None = None, progress: Progress | None = None
    ) -> Predictions:
        """A `PairPrediction` per directed pair (i, j), in the order of `edges`; with what moves if the model says so.

        masks (T,H,W) bool of moving pixels re-weight decoder 1's cross-attention (Easi3R, section 4), and every pair
        then carries its `attention`. None: the network as it is.
        """
        moving = None if masks is None else self._masks_to_tokens(features, masks)
        return Predictions(self._pairs(features, [(int(i), int(j)) for i, j in edges], moving, progress))

    def _pairs(self, features, edges, moving, progress):
        run = functools.partial(self._predict, features.data, moving=moving)
        size = features.frames.shape[1:3]
        working = self.decoder_bytes(*size) + self.head_bytes(*size) / HEAD_SHARE
        for done, chunk, (evidence, views) in self._batches(edges, run, working):
            (pts1, conf1, moving1), (pts2, conf2, moving2) = views
            seen = [None] * len(chunk) if moving is None else list(_attentions(chunk, evidence, features.grid))
            for k, (i, j) in enumerate(chunk):
                yield PairPrediction(i, j, pts1[k], pts2[k], conf1[k], conf2[k], seen[k], moving1[k], moving2[k])
            _report(progress, done / len(edges), "Predicting geometry")

    # What runs on the device, a batch at a time ---------------------------------------------------------------------

    @torch.inference_mode()
    def _encode(self, frames):
        return self.model.encode(images_of(frames, self.device))

    @torch.inference_mode()
    def _decode(self, tokens, edges, moving=None, only_evidence=False):
        """(kept layers of both views or None, evidence of both decoders) of some pairs."""
        tokens1, tokens2 = (tokens[list(view)].flatten(1, 2) for view in zip(*edges))
        if moving is not None:
            moving = tuple(moving[list(view)] for view in zip(*edges))
        *layers, evidence1, evidence2 = self.model.decode(tokens1, tokens2, tokens.shape[1:3], moving, only_evidence)
        return layers, (evidence1, evidence2)

    @torch.inference_mode()
    def _predict(self, tokens, edges, moving=None):
        """(evidence, views) of some pairs; view: points, confidence and probability of moving, as numpy arrays.

        The probability, float32 as its logit is wanted, is None for each pair if the model has no mask heads.
        """
        layers, evidence = self._decode(tokens, edges, moving)
        grid, views = tokens.shape[1:3], []
        for number, view in enumerate(layers, 1):
            # Full-resolution maps are large: the heads take a quarter of the batch at a time.
            parts = list(zip(*(x.split(max(1, len(edges) // HEAD_SHARE)) for x in view)))
            outputs = zip(*(self.model.points(part, grid, number) for part in parts))
            points, confidence = (self._hand_on(torch.cat(x)) for x in outputs)
            moves = [None] * len(edges)
            if self.model.config.mask_heads:
                logits = torch.cat([self.model.moving(part, grid, number) for part in parts])
                moves = logits.sigmoid().cpu().numpy()
            views.append((points, confidence, moves))
        return evidence, views

    def _hand_on(self, x):
        if self.prediction_dtype == torch.float16:
            x = x.clamp(-_HALF_MAX, _HALF_MAX)  # finite whatever the network says
        return x.to(self.prediction_dtype).cpu().numpy()

    def _masks_to_tokens(self, features, masks):
        """Max-pool pixel masks (T,H,W) bool to tokens (T,N) bool on the device."""
        masks, wanted = np.asarray(masks), features.frames.shape[:3]
        if masks.shape != wanted:
            raise InputError(f"Masks have shape {masks.shape}; with these frames it must be {wanted}.")
        pixels = torch.from_numpy(masks.astype(np.float32)).to(self.device)
        return F.max_pool2d(pixels[:, None], self.patch).flatten(1) > 0

    def decoder_bytes(self, height: int, width: int) -> int:
        """Working memory of the decoders per pair in bytes, estimated: two dozen float32 activations of both views."""
        config = self.model.config
        return (height // self.patch) * (width // self.patch) * 8 * (config.enc_embed_dim + 16 * config.dec_embed_dim)

    def head_bytes(self, height: int, width: int) -> int:
        """Working memory of a head per view in bytes, estimated: its widest float32 maps."""
        return height * width * (2400 if self.model.config.head_type == "dpt" else 64)

    def _batches(self, items, run, bytes_each):
        """Run over `items` in batches chosen from free memory: yields (number done, chunk, run(chunk)).

        Out of memory halves the batch and goes on. Raises `InputError` when a single item does not fit.
        """
        size = max(1, min(self.largest_batch, int(free_memory(self.device) / 2 / bytes_each)))
        done = 0
        while done < len(items):
            chunk = items[done : done + size]
            try:
                result = run(chunk)
            except RuntimeError as error:  # torch.OutOfMemoryError is one; CPU and MPS raise plain ones
                if not ran_out(error):
                    raise
                result = None  # go on outside the handler, where the failed batch's tensors are free
            if result is None:
                if len(chunk) == 1:
                    raise InputError("There is not enough memory for a single pair of frames; use smaller frames.")
                size = len(chunk) // 2
                if self.device.startswith("cuda"):
                    torch.cuda.empty_cache()
                continue
            done += len(chunk)
            yield done, chunk, result


def placed(model: Model, device: str | None, precision: str | None) -> tuple[Model, str, str]:
    """The model where and in what it computes, ready to: (model, device, precision); None picks, see the networks."""
    if precision not in (None, "float32", "bfloat16"):
        raise InputError(f"The precision {precision!r} is unknown; use float32, bfloat16 or None (the faster).")
    device = device or best_device()
    precision = precision or fast_precision(device, model.config.enc_embed_dim)
    model = model.set_precision(getattr(torch, precision)).to(device).eval().requires_grad_(False)
    if device == "cpu":  # oneDNN's convolutions are fastest with channels last
        model.to(memory_format=torch.channels_last)
    return model, device, precision


def grid_of(frames: np.ndarray, patch: int) -> tuple[int, int]:
    """(h, w) tokens of frames (T,H,W,3) uint8. Raises `InputError` for others, or if patches do not fill them."""
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise InputError(f"Frames have shape {frames.shape} and type {frames.dtype}; they must be (T,H,W,3) uint8.")
    height, width = frames.shape[1:3]
    grid = height // patch, width // patch
    if not all(grid) or height % patch or width % patch:
        raise InputError(f"Frames are {width} x {height} pixels; both sides must be multiples of {patch}.")
    return grid


def images_of(frames: np.ndarray, device: str) -> torch.Tensor:
    """Frames (T,H,W,3) uint8 as networks take them: (T, 3, H, W) float32 in [-1, 1] on the device."""
    return torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2) / 127.5 - 1


def best_device() -> str:
    """ "cuda", "mps" or "cpu", the first there is."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def fast_precision(device: str, channels: int) -> str:
    """ "bfloat16" where this device multiplies matrices markedly faster in it than in float32, else "float32"."""
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.get_device_capability(device)[0] >= 8 else "float32"
    return "bfloat16" if device == "cpu" and channels >= _BIG_NETWORK and _cpu_prefers_bfloat16() else "float32"


@functools.cache
def _cpu_prefers_bfloat16():
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones((512, 512), dtype=dtype)
        a @ a  # the first product sets things up
        times = []
        for _ in range(5):
            start = time.perf_counter()
            a @ a
            times.append(time.perf_counter() - start)
        seconds[dtype] = min(times)
    return seconds[torch.bfloat16] * 1.5 < seconds[torch.float32]


def free_memory(device: str) -> float:
    """Bytes that can still be allocated, by a guess where the system does not say."""
    if device.startswith("cuda"):
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows and macOS
        return 4e9


def _encoder_hash(model):
    """Of all that `TwoViewTransformer.encode` depends on: models of one hash give the same tokens (0.9 s for ViT-L)."""
    config = model.config
    found = hashlib.sha256(repr((config.patch, config.enc_num_heads, config.rope_base)).encode())
    for part in (model.patch_embed, model.enc_blocks, model.enc_norm):
        for name, tensor in part.state_dict().items():
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(tensor.cpu().contiguous().view(torch.uint8).numpy())
    return found.hexdigest()


def _attentions(edges, evidence, grid):
    source, reference = (part.float().cpu().numpy().reshape(len(edges), *grid, -1) for part in evidence)
    for k, (i, j) in enumerate(edges):
        yield PairAttention(i, j, source[k], reference[k])


def _report(progress, fraction, text):
    if progress is not None:
        progress(fraction, text)
