"""SAM 2 as the follower of masks: some frames' masks are shown to it, it says what they become in the others.

Ravi et al. 2024 (arXiv 2408.00714), through transformers' `Sam2VideoModel`; specification sam2.md, sections 1, 4 and 5.
The network sees squares of S x S pixels and answers with logits on S/4 x S/4.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ..backbones.weights.sam2 import library
from ..errors import InputError
from ..threads import in_order

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as the network was trained
_SURE = 10.0  # logit of a prompt's pixels, as the network itself takes them
_OBJECT, _INDEX = 1, 0  # the one thing that is followed: all that moves


def pixel_values(frame: np.ndarray, size: int) -> torch.Tensor:
    """(3,S,S) float32 of a frame (H,W,3) uint8 RGB: bicubic to the square, neither antialiased nor clipped."""
    image = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
    image = F.interpolate(image, (size, size), mode="bicubic", align_corners=False)
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (_MEAN, _DEVIATION))
    return (image[0] - mean) / deviation


def prompt_values(mask: np.ndarray, size: int) -> torch.Tensor:
    """(1,1,S,S) float32, 0 or 1, of a mask (H,W) bool.

    It goes to S/4 and back first: the published predictor remembers a prompt as it is there, this library as it was.
    """
    prompt = torch.from_numpy(np.ascontiguousarray(mask))[None, None].float()  # (1, 1, H, W)
    prompt = (_resized(prompt, (size, size), antialias=True) >= 0.5).float()
    low = _resized(_SURE * (2 * prompt - 1), (size // 4, size // 4), antialias=True)
    return (_resized(low, (size, size)) > 0).float()


def mask_of(logits: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H,W) bool, `shape`, of logits (S/4,S/4) float32."""
    return (_resized(torch.from_numpy(logits)[None, None], shape)[0, 0] > 0).numpy()


def _resized(values, shape, antialias=False):
    """(1,1,h,w) -> (1,1,*shape), bilinear."""
    return F.interpolate(values, shape, mode="bilinear", align_corners=False, antialias=antialias)


class Follower:
    """A clip before SAM 2. `follow` may be called by several threads at once.

    keep: its frames are encoded once and what is found in them is kept, 16 MB each at S = 1024; else they are encoded
    in every pass, and about 2 MB each stay. model: see `weights.sam2.load`, wherever it is. frames (T,H,W,3) uint8 RGB,
    T > 1 as the network divides by T - 1.
    progress(fraction) while they are encoded.
    """

    def __init__(
        self, model: Any, frames: np.ndarray, keep: bool = True, progress: Callable[[float], None] | None = None
    ) -> None:
        self.model, self.frames, self.size, self.keep = model, frames, model.config.image_size, keep
        self._features: list[dict] = []
        report = progress or (lambda fraction: None)
        numbers = range(len(frames)) if keep else ()
        # On a CPU every thread encodes a frame of its own: a network as small as this leaves a second core half idle.
        for features in (in_order if model.device.type == "cpu" else map)(self._encoded, numbers):
            self._features.append(features)
            features["vision_pos_embeds"] = self._features[0]["vision_pos_embeds"]  # one for all: they are the same
            report(len(self._features) / len(frames))

    def _encoded(self, t):
        """What a session keeps of frame t; of the position encodings the only one that is read."""
        with self._computing():
            pixels = pixel_values(self.frames[t], self.size)[None]  # (1, 3, S, S)
            found = self.model.get_image_features(pixels.to(self.model.device))
        return {"vision_feats": list(found.fpn_hidden_states), "vision_pos_embeds": [found.fpn_position_encoding[-1]]}

    def _session(self):
        """A pass's memory, with what is known of the frames."""
        device, kept = self.model.device, len(self.frames) if self.keep else 1
        session = library().Sam2VideoInferenceSession(
            video_height=self.frames.shape[1],
            video_width=self.frames.shape[2],
            inference_device=device,
            inference_state_device=device,
            dtype=torch.float32,
            max_vision_features_cache_size=kept,
        )
        session.processed_frames = _Pixels(self.frames, self.size)
        session.obj_id_to_idx(_OBJECT)
        for t, features in enumerate(self._features):
            session.cache.cache_vision_features(t, features)
        return session

    def follow(
        self, masks: np.ndarray, prompted: Sequence[int], progress: Callable[[float], None] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the masks of the frames `prompted`, one or more, become in all frames, going forward from the first.

        masks (T,H,W) bool; an empty one says that nothing is there. Returns logits (T,S/4,S/4) and the scores (T,) of
        something being there, float32; for the frames prompted, what they were prompted with. progress(fraction).
        Raises `InputError` if the network answers with what is no number.
        """
        session, n_frames, report = self._session(), len(self.frames), progress or (lambda fraction: None)
        logits = np.empty((n_frames, self.size // 4, self.size // 4), np.float32)
        scores = np.empty(n_frames, np.float32)
        for done, t in enumerate(prompted):  # all before the first answer, as later ones count too
            session.add_mask_inputs(_INDEX, t, prompt_values(masks[t], self.size))
            session.obj_with_new_inputs = [_OBJECT]  # anew, as the call empties it
            self._look(session, t)  # after each: those that are only announced are lost
            report(0.2 * (done + 1) / len(prompted))
        for t in range(n_frames):
            found = self._look(session, t)
            logits[t], scores[t] = found.pred_masks[0, 0].float().cpu().numpy(), found.object_score_logits.item()
            report(0.2 + 0.8 * (t + 1) / n_frames)
        if not (np.isfinite(logits).all() and np.isfinite(scores).all()):  # where no score, there no mask and no word
            raise InputError("SAM 2 answers with what is no number; its weights are damaged, fetch them again.")
        return logits, scores

    def _look(self, session, t):
        """The network's answer for frame t; of what the session keeps for ever, the parts of full size are let go."""
        with self._computing():
            found = self.model(session, frame_idx=t)
        for outputs in session.output_dict_per_obj[_INDEX].values():
            outputs.get(t, {}).pop("high_res_masks", None)
        session.mask_inputs_per_obj[_INDEX].pop(t, None)
        return found

    @contextlib.contextmanager
    def _computing(self):
        kind = self.model.device.type
        half = torch.autocast(kind, torch.bfloat16) if kind == "cuda" else contextlib.nullcontext()
        with torch.inference_mode(), half:
            yield


class _Pixels(dict):
    """Frame number -> `pixel_values`, made when asked for: at 1024 pixels a frame has 12 MB."""

    def __init__(self, frames: np.ndarray, size: int) -> None:
        super().__init__()
        self._frames, self._size = frames, size

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, t: int) -> torch.Tensor:
        return pixel_values(self._frames[t], self._size)
