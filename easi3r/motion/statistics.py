"""From attention to motion evidence: statistics over a frame's pairs, accumulated while the pairs stream by.

Source: Easi3R (arXiv 2503.24391), as written down in section 2 of the specification. Torch tensors on any device; a
frame is a grid of h x w tokens, C = decoder layers * heads channels.
"""

import numpy as np
import torch

_EPS = 1e-6  # in the divisions of all normalisations


class AttentionStatistics:
    """Mean and unbiased standard deviation of the attention maps of every frame, over all pairs it is in.

    A directed pair (a, b) adds one map to the *reference* statistics of frame a and one to the *source* statistics of
    frame b. Memory is T * h * w * C floats times four, however many pairs there are.
    """

    def __init__(self, n_frames, grid):
        self.n_frames, self.grid = n_frames, tuple(grid)
        self.source, self.reference = _Running(n_frames), _Running(n_frames)

    def add(self, edges, evidence1, evidence2):
        """Add a batch of B pairs.

        edges: B pairs (a, b). evidence1, evidence2 (B, h*w, C) or (B, h, w, C) float32: logits averaged over queries of
        decoder 1 (per token of frame b) and of decoder 2 (per token of frame a).
        """
        shape = (len(edges), *self.grid, -1)
        self.source.add([b for _, b in edges], repair_sink(evidence1.reshape(shape)))
        self.reference.add([a for a, _ in edges], repair_sink(evidence2.reshape(shape)))

    def result(self):
        """(maps, dynamic): maps name -> (T,h,w) float32 in [0,1], dynamic (T,h,w) float32 in [0,1], numpy.

        `A_src_std` and `A_ref_std` are 0 for frames with fewer than two maps, where there is no deviation.
        """
        maps, known = {}, {}
        for name, running in (("src", self.source), ("ref", self.reference)):
            for moment, values, needed in (("mean", running.mean, 1), ("std", running.std(), 2)):
                key = f"A_{name}_{moment}"
                known[key] = running.count >= needed
                maps[key] = _fuse(values, known[key])
        return maps, dynamic_map(maps, known)


class _Running:
    """Welford's running mean and squared deviation, one per frame."""

    def __init__(self, n_frames):
        self.count = np.zeros(n_frames, dtype=int)
        self.mean = self.squares = None  # (T, h, w, C) once the first map has shown its size

    def add(self, frames, maps):
        if self.mean is None:
            self.mean = maps.new_zeros((len(self.count), *maps.shape[1:]))
            self.squares = torch.zeros_like(self.mean)
        for frame, values in zip(frames, maps):
            self.count[frame] += 1
            delta = values - self.mean[frame]
            self.mean[frame] += delta / int(self.count[frame])
            self.squares[frame].addcmul_(delta, values - self.mean[frame])

    def std(self):
        divisor = torch.as_tensor(np.maximum(self.count - 1, 1), dtype=self.squares.dtype, device=self.squares.device)
        return (self.squares / divisor[:, None, None, None]).sqrt()


def repair_sink(maps):
    """Replace the top-left token, an attention sink, by the average of its right and lower neighbours.

    maps (B, h, w, C); a grid of one row or column has one of them, a single token stays. Returns a new tensor.
    """
    neighbours = [maps[:, y, x] for y, x in ((0, 1), (1, 0)) if y < maps.shape[1] and x < maps.shape[2]]
    repaired = maps.clone()
    if neighbours:
        repaired[:, 0, 0] = torch.stack(neighbours).mean(dim=0)
    return repaired


def _fuse(stack, known):
    """(T,h,w,C) -> (T,h,w) float32 numpy in [0,1]: normalised over all, averaged over channels, normalised again.

    Frames not `known` (T,) bool take no part and are 0.
    """
    fused = np.zeros(stack.shape[:3], dtype=np.float32)
    if known.any():
        rows = torch.as_tensor(known, device=stack.device)
        fused[known] = _unit(_unit(stack[rows]).mean(dim=-1)).cpu().numpy()
    return fused


def dynamic_map(maps, known):
    """(T,h,w) float32 in [0,1]: (1 - A_src_mean) * A_src_std * A_ref_mean * (1 - A_ref_std), min-max per frame.

    `maps` as in `AttentionStatistics.result`; `known` name -> (T,) bool: a term that a frame lacks (a frame with a
    single pair has no deviation) is left out of its product.
    """
    dynamic = np.ones_like(maps["A_src_mean"])
    for name, inverted in (("A_src_mean", True), ("A_src_std", False), ("A_ref_mean", False), ("A_ref_std", True)):
        term = 1 - maps[name] if inverted else maps[name]
        dynamic *= np.where(known[name][:, None, None], term, 1)
    return np.stack([_unit(frame) for frame in dynamic])


def _unit(values):
    """Min-max normalisation over all values of a tensor or array."""
    low = values.min()
    return (values - low) / (values.max() - low + _EPS)
