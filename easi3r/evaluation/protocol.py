"""How a sequence is measured, and how sequences are averaged: the published way, with what it leaves unsaid decided.

Source: specification of the evaluation, sections 2 and 4. Where the published scripts crash, skip or say nothing, ours
goes on, says so in the state of the sequence and counts it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..camera import Camera, transform
from ..errors import InputError
from ..metrics import (
    DEPTH_LIMIT,
    boundary_f,
    cloud_errors,
    depth_alignments,
    depth_errors,
    jaccard,
    spans_a_plane,
    trajectory_errors,
    umeyama,
)
from .datasets import Dataset
from .predictions import read_cameras, read_depths, read_intrinsics, read_masks
from .sequence import Sequence
from .working import placed, published_framing

_GOOD = 0.5  # J and F above this count for JR and FR
_OF_MASKS, _OF_CAMERAS = ("JM", "JR", "FM", "FR"), ("ATE", "RTE", "RRE")
_OF_DEPTH = tuple(f"{name}_{way}" for way in ("scale", "shift", "median") for name in ("AbsRel", "delta"))
_OF_POINTS = tuple(f"{name}_{of}" for name in ("acc", "comp", "dist") for of in ("mean", "median"))
METRICS = {"masks": _OF_MASKS, "cameras": _OF_CAMERAS, "depth": _OF_DEPTH, "points": _OF_POINTS}


@dataclass(frozen=True)
class Entry:
    """What is said of a sequence."""

    state: str  # scored, partial, missing or failed
    reason: str = ""  # in words, unless scored
    frames: int = 0  # that the protocol chooses
    predicted: int = 0  # of these
    metrics: Mapping[str, float] = field(default_factory=dict)
    valid_pixels: int | None = None  # whose depth was scored
    per_frame: Mapping[str, np.ndarray] = field(default_factory=dict)  # J and F (frames,)
    by_time: "Entry | None" = None  # with depth and poses nearest in time
    others: Mapping[str, float] = field(default_factory=dict)  # mean J of other systems' masks that came with the clip
    seconds: float | None = None  # of the run, where there was one

    @property
    def counts(self) -> bool:
        """Whether it is in the mean."""
        return self.state in ("scored", "partial")


def score(sequence: Sequence, dataset: Dataset, folder: Path) -> Entry:
    """The `Entry` of the prediction in `folder`. Raises `InputError` for a file that cannot be read."""
    given = _read(sequence, dataset, folder)
    n_frames, counts = sequence.frames, [len(found) for found in given.values()]
    if not any(counts):
        return Entry("missing", f"no prediction in {folder.name}", n_frames)
    metrics: dict[str, float] = {}
    extra: dict[str, Any] = {}
    problems = []
    for measure, found in given.items():
        if not found:
            problems.append(f"no {measure} predicted")
            continue
        try:
            values = _MEASURES[measure](sequence, dataset, given, extra)
            if not np.isfinite(list(values.values())).all():
                raise InputError(f"the {measure} predicted are too large to be measured")
            metrics |= values
        except InputError as error:
            problems.append(str(error))
    predicted = min(counts)
    if predicted < n_frames:
        problems.insert(0, f"{predicted} of {n_frames} frames predicted")
    lost = 0 if sequence.poses is None else int(np.isnan(sequence.poses).any((1, 2)).sum())
    if lost:
        problems.append(f"{lost} frames have no known pose and were left out")
    state = "failed" if not metrics else "partial" if problems else "scored"
    timed = None if sequence.by_time is None or not metrics else score(sequence.by_time, dataset, folder)
    return Entry(state, "; ".join(problems), n_frames, predicted, metrics, by_time=timed, **extra)


def _read(sequence, dataset, folder):
    """What was predicted of each measure, by the number of the frame."""
    readers = {"masks": read_masks, "depth": read_depths, "cameras": read_cameras}
    known = {"masks": sequence.labels, "depth": sequence.depth, "cameras": sequence.poses}
    found: dict[str, Any] = {
        measure: readers[measure](folder, sequence.frames)
        for measure in dataset.measures
        if measure in readers and known[measure] is not None
    }
    if "points" in dataset.measures:
        depth = read_depths(folder, sequence.frames)
        matrices = (
            read_intrinsics(folder, list(found["cameras"]), sequence.frames) if depth and found["cameras"] else {}
        )
        found["points"] = {i: (depth[i], matrices[i]) for i in depth if i in matrices and i in found["cameras"]}
    for maps in (found.get("depth", {}), {i: depth for i, (depth, _) in found.get("points", {}).items()}):
        broken = [str(i) for i, depth in maps.items() if not np.isfinite(depth).all()]
        if broken:
            raise InputError(f"The predicted depth of frame {broken[0]} holds numbers that are not finite.")
    return found


def _masks(sequence, dataset, given, extra):
    labels = [label() for label in sequence.labels]
    if sequence.clip is None:  # as published, at working size
        framing = published_framing(labels[0].shape[::-1], sequence.stretched)
        labels = [placed(label, framing) for label in labels]
    else:
        framing = None
    empty, predicted = np.zeros(labels[0].shape, bool), []
    for i, label in enumerate(labels):
        mask = given["masks"].get(i, empty)
        if mask.shape != label.shape:
            mask = placed(mask, framing) if framing else _resized(mask, label.shape)
        predicted.append(mask)
    masks, truth = np.stack(predicted), np.stack(labels)
    values = {"J": jaccard(masks, truth), "F": boundary_f(masks, truth)}
    extra["per_frame"] = values
    if sequence.others:
        extra["others"] = {name: float(jaccard(other, truth).mean()) for name, other in sequence.others.items()}
    return _of_frames(values)


def _resized(mask, shape):
    return cv2.resize(mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST) > 0


def _of_frames(values):
    means = ((f"{name}M", v.mean()) for name, v in values.items())
    found = dict(means) | {f"{name}R": (v > _GOOD).mean() for name, v in values.items()}
    return {name: float(found[name]) for name in _OF_MASKS}


def _cameras(sequence, dataset, given, extra):
    _, poses, truth = matched(sequence, given["cameras"])
    errors = trajectory_errors(poses, truth)
    return {name: errors[name.lower()] for name in _OF_CAMERAS}


def matched(sequence: Sequence, cameras: Mapping[int, np.ndarray]) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Numbers of the frames whose pose is known and predicted, and these poses (n,4,4), predicted and true.

    Raises `InputError` where no similarity brings one to the other: a camera that stands still, or is said to.
    """
    known = np.empty((0, 4, 4)) if sequence.poses is None else sequence.poses
    numbers = [i for i in cameras if i < len(known) and np.isfinite(known[i]).all()]
    if not numbers:
        raise InputError("no frame has both a predicted and a known pose")
    poses, truth = np.array([cameras[i] for i in numbers]), known[numbers]
    if not spans_a_plane(poses[:, :3, 3], truth[:, :3, 3]):
        gap = (truth - poses)[:, :3, 3]
        still = float(np.sqrt(((gap - gap.mean(0)) ** 2).sum(1).mean()))
        raise InputError(
            "no alignment possible: the camera stands still or moves on a straight line, in truth or as predicted, or "
            f"there are under three frames (ATE after a shift alone: {still:.4g})"
        )
    return numbers, poses, truth


def _depth(sequence, dataset, given, extra):
    predicted, true = [], []
    for i, depth in given["depth"].items():
        truth = sequence.depth[i]()
        valid = (truth > 0) & (truth < DEPTH_LIMIT)
        depth = cv2.resize(depth, truth.shape[::-1], interpolation=cv2.INTER_CUBIC)
        predicted.append(depth[valid])
        true.append(truth[valid])
    depth, truth = np.concatenate(predicted), np.concatenate(true)
    if not truth.size or not (depth > 0).any():
        raise InputError("no pixel has both a known and a predicted depth")
    extra["valid_pixels"], found = truth.size, {}
    for way, (scale, shift) in depth_alignments(depth, truth).items():
        aligned = np.float32(scale) * depth + np.float32(shift)
        if not np.isfinite(aligned).all():
            raise InputError(f"the predicted depth cannot be brought to the true one ({way})")
        aligned = np.minimum(aligned, np.float32(DEPTH_LIMIT)) if dataset.limited else aligned
        found |= dict(zip((f"AbsRel_{way}", f"delta_{way}"), depth_errors(aligned, truth)))
    return found


def _points(sequence, dataset, given, extra):
    _, poses, truth = matched(sequence, given["cameras"])
    scale, rotation, shift = umeyama(poses[:, :3, 3], truth[:, :3, 3])
    similarity = np.vstack([np.column_stack([scale * rotation, shift]), [0, 0, 0, 1]])
    clouds: tuple[list, list] = [], []
    for i, (depth, matrix) in given["points"].items():
        height, width = depth.shape
        true = sequence.depth[i]()
        ratio = np.array([width / true.shape[1], height / true.shape[0], 1])
        true = cv2.resize(true, (width, height), interpolation=cv2.INTER_CUBIC)
        views = (
            (depth, matrix, similarity @ given["cameras"][i]),
            (true, ratio[:, None] * sequence.intrinsics[i], sequence.poses[i]),
        )
        for cloud, (z, k, pose) in zip(clouds, views):
            cloud.append(transform(pose, Camera(k, (width, height)).unproject(z)[true > 0]))
    return cloud_errors(*(np.concatenate(cloud) for cloud in clouds))


_MEASURES = {"masks": _masks, "cameras": _cameras, "depth": _depth, "points": _points}


def means(entries: Mapping[str, Entry]) -> dict[str, dict[str, float]]:
    """Reading -> metric -> mean of the entries that count: the published reading first.

    `frames`: over all frames of all sequences together. `pixels`: weighted by the pixels scored. `sequences`: over the
    sequences, each alike. `pixels_time`, `sequences_time`: with depth and poses nearest in time.
    """
    found = _readings([entry for entry in entries.values() if entry.counts])
    timed = _readings([entry.by_time for entry in entries.values() if entry.by_time and entry.by_time.counts])
    return found | {f"{reading}_time": values for reading, values in timed.items()}


def _readings(counted):
    found = {}
    frames = [entry.per_frame for entry in counted if entry.per_frame]
    if frames:
        found["frames"] = _of_frames({name: np.concatenate([values[name] for values in frames]) for name in "JF"})
    if any(entry.valid_pixels for entry in counted):
        found["pixels"] = _mean(counted, _OF_DEPTH, [entry.valid_pixels or 0 for entry in counted])
    names = dict.fromkeys(name for entry in counted for name in entry.metrics)
    if names:
        found["sequences"] = _mean(counted, names, [1] * len(counted))
    return found


def _mean(counted, names, weights):
    def of(name):
        values = [(entry.metrics[name], w) for entry, w in zip(counted, weights) if name in entry.metrics]
        return float(np.average([v for v, _ in values], weights=[w for _, w in values]))

    return {name: of(name) for name in names}


def summary(name: str, dataset: Dataset, entries: Mapping[str, Entry], left_out: list[str]) -> dict[str, Any]:
    """The result as JSON has it. left_out: sequences that are there and were not asked for."""
    there = {*entries, *left_out}
    absent = sorted(set(dataset.names or ()) - there)
    return {
        "set": name,
        "scored": sum(entry.counts for entry in entries.values()),
        "complete": not absent and not left_out and all(entry.state == "scored" for entry in entries.values()),
        "absent": absent,
        "left_out": sorted(left_out),
        "sequences": {key: _plain(entry) for key, entry in entries.items()},
        "mean": means(entries),
    }


def _plain(entry):
    found = {name: getattr(entry, name) for name in ("state", "reason", "frames", "predicted")}
    if entry.counts:
        found["metrics"] = dict(entry.metrics)
    for name in ("valid_pixels", "seconds"):
        if getattr(entry, name) is not None:
            found[name] = getattr(entry, name)
    return found | ({"others": dict(entry.others)} if entry.others else {})
