"""What formulas need that are written once for NumPy arrays and for torch tensors, which lie on a GPU."""

import sys
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any  # np.ndarray or torch.Tensor: both have the operators, sum, clip, and the functions of `module`


def module(array: Array) -> Any:
    """`numpy` or `torch`, whose functions have the same names."""
    return np if isinstance(array, np.ndarray) else sys.modules["torch"]


def empty(shape: tuple[int, ...], like: Array) -> Array:
    """Uninitialised, of the kind, dtype and place of `like`."""
    return np.empty(shape, like.dtype) if isinstance(like, np.ndarray) else like.new_empty(shape)


def total(array: Array, axes: tuple[int, ...]) -> np.ndarray:
    """The sum over `axes` in double precision, float64."""
    return on_host(array.sum(axes, dtype=module(array).float64))


def on_host(array: Array) -> np.ndarray:
    """As float64 array of NumPy."""
    return np.asarray(array.cpu() if hasattr(array, "cpu") else array, np.float64)


def to(device: str, array: np.ndarray) -> Array:
    """The array as float32: itself on a CPU, else a tensor on the device."""
    if device == "cpu":
        return array.astype(np.float32, copy=False)
    import torch

    return torch.as_tensor(np.ascontiguousarray(array), device=device).float()
