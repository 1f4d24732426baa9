"""Encoder features shared between networks: several systems on one clip encode it once where their encoders are equal.

MonST3R and DAS3R were trained with DUSt3R's encoder frozen, but nothing is taken for granted: hashes of the tensors
decide.
"""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from .base import Features, Progress


class Encodings:
    """Features of the clips of one comparison, which owns this and drops it at its end; for one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[tuple, Features] = {}

    def shared_by(self, system: Any) -> Any:
        """The system, with a network that looks here before it encodes; networks that cannot share are left alone."""
        network = getattr(system, "network", None)
        return replace(system, network=_Shared(network, self._known)) if hasattr(network, "encoder_hash") else system


class _Shared:
    """A network whose `encode` looks among what is known; all else is the network's own."""

    def __init__(self, network: Any, known: dict[tuple, Features]) -> None:
        self._network, self._known = network, known

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def encode(self, frames: np.ndarray, progress: Progress | None = None) -> Features:
        """As of the network; frames (T,H,W,3) uint8 RGB."""
        network = self._network
        clip = frames.shape, hashlib.sha256(np.ascontiguousarray(frames).data).hexdigest()
        key = (network.encoder_hash, network.precision, network.device, *clip)
        if key not in self._known:
            self._known[key] = network.encode(frames, progress)
        elif progress is not None:
            progress(1.0, "Encoded already")
        return self._known[key]
