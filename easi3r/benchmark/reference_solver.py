"""The published alignment procedure, as the thing to compare with. Not part of the product.

Spanning-tree start, then 300 Adam steps through every pixel of every pair. Written from the specification of the
published aligners (DUSt3R, MonST3R, Easi3R): shared focal, no masks, no smoothness, no flow.
"""

from collections.abc import Iterable

import cv2
import numpy as np
import torch

from ..alignment import Alignment
from ..alignment.closed_form import resect, weiszfeld
from ..backbones.base import PairPrediction
from ..camera import invert, pose, transform
from ..metrics import umeyama

TRIES = 10  # of RANSAC in resection


def solve_reference(predictions: Iterable[PairPrediction], n_frames: int, steps: int = 300) -> Alignment:
    """Align `predictions` the published way; the confidence of the result is the largest over the pairs.

    The graph must be connected and every frame must be the first of some pair.
    """
    pairs = list(predictions)
    points, poses, focal, similarities = _spanning_tree(pairs, n_frames)
    return _descend(pairs, points, poses, focal, similarities, steps)


def _largest_confidence(pairs, n_frames):
    """Per frame (H,W): the largest over its pairs."""
    confidence = [np.zeros(pairs[0].conf1.shape, np.float32)] * n_frames
    for p in pairs:
        for v, c in ((p.i, p.conf1), (p.j, p.conf2)):
            confidence[v] = np.maximum(confidence[v], c)
    return confidence


def _register(source, target, weight):
    return umeyama(source.reshape(-1, 3).astype(np.float64), target.reshape(-1, 3), weight.ravel())


def _spanning_tree(pairs, n_frames):
    """Start values: world points per frame (T,H,W,3), poses (T,4,4), focal, similarities of the pairs [(s, R, t)]."""
    score = [float(p.conf1.astype(np.float64).mean() * p.conf2.astype(np.float64).mean()) for p in pairs]
    best_first = sorted(range(len(pairs)), key=lambda e: -score[e])
    group, tree = list(range(n_frames)), []

    def root(v):
        return v if group[v] == v else root(group[v])

    for e in best_first:  # Kruskal
        a, b = root(pairs[e].i), root(pairs[e].j)
        if a != b:
            group[a] = b
            tree.append(pairs[e])
    points, poses, focals = {}, {}, {}
    first = tree.pop(0)
    points[first.i], points[first.j] = first.pts1.astype(np.float64), first.pts2.astype(np.float64)
    poses[first.i], focals[first.i] = np.eye(4), weiszfeld(first.pts1.astype(np.float64))
    while tree:
        pair = next(p for p in tree if p.i in points or p.j in points)
        tree.remove(pair)
        i, j = pair.i, pair.j
        pts1, pts2 = pair.pts1.astype(np.float64), pair.pts2.astype(np.float64)
        if i in points:
            s, rotation, shift = _register(pts1, points[i], pair.conf1)
            points[j] = s * pts2 @ rotation.T + shift
        else:
            s, rotation, shift = _register(pts2, points[j], pair.conf2)
            points[i] = s * pts1 @ rotation.T + shift
        poses.setdefault(i, pose(rotation, shift))
        focals.setdefault(i, weiszfeld(pts1))
    confidence = _largest_confidence(pairs, n_frames)
    for v in range(n_frames):
        if v not in focals:
            best = max((e for e in range(len(pairs)) if pairs[e].i == v), key=lambda e: score[e])
            focals[v] = weiszfeld(pairs[best].pts1.astype(np.float64))
        if v not in poses:
            poses[v] = resect(points[v], confidence[v], focals[v], TRIES)
    similarities = [_register(p.pts1, points[p.i], p.conf1) for p in pairs]
    return points, poses, float(np.mean(list(focals.values()))), similarities


def _quaternion(rotation):
    vector = cv2.Rodrigues(rotation)[0].ravel()
    angle = np.linalg.norm(vector)
    return np.array([np.cos(angle / 2), *(0.5 * np.sinc(angle / 2 / np.pi) * vector)])


def _matrices(quaternion):
    """Rotations (N,3,3) of quaternions (N,4), w first, normalised here."""
    w, x, y, z = (quaternion / quaternion.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        1 - 2 * (y * y + z * z),
        2 * (x * y - w * z),
        2 * (x * z + w * y),
        2 * (x * y + w * z),
        1 - 2 * (x * x + z * z),
        2 * (y * z - w * x),
        2 * (x * z - w * y),
        2 * (y * z + w * x),
        1 - 2 * (x * x + y * y),
    ]
    return torch.stack(rows, 1).reshape(-1, 3, 3)


def _encode(shift):
    return torch.sign(shift) * torch.log1p(shift.abs())


def _decode(code):
    return torch.sign(code) * torch.expm1(code.abs())


def _descend(pairs, points, poses, focal, similarities, steps):
    """Adam on log depth, poses, log focal and pair similarities; learning rate 0.01 falling linearly to 0.001."""
    n_frames, (height, width) = len(poses), pairs[0].conf1.shape
    unit = 0.5 / np.exp(np.mean([np.log(s) for s, _, _ in similarities]))
    depth = []
    for v in range(n_frames):
        poses[v] = poses[v].copy()
        poses[v][:3, 3] *= unit
        depth.append(transform(invert(poses[v]), points[v] * unit)[..., 2])
    with np.errstate(divide="ignore", invalid="ignore"):
        log_depth = np.nan_to_num(np.log(np.stack(depth)), nan=0.0, neginf=0.0)

    def leaf(array):
        return torch.tensor(np.asarray(array), dtype=torch.float32).requires_grad_()

    log_depth = leaf(log_depth.reshape(n_frames, -1))
    frame_q = leaf([_quaternion(poses[v][:3, :3]) for v in range(n_frames)])
    frame_t = leaf(_encode(torch.tensor(np.stack([poses[v][:3, 3] for v in range(n_frames)]))))
    edge_q = leaf([_quaternion(r) for _, r, _ in similarities])
    # the transform of a pair is s [R | t], so the stored shift is the shift divided by the scale
    edge_t = leaf(_encode(torch.tensor(np.stack([t / s for s, _, t in similarities]))))
    edge_s = leaf([np.log(s * unit) for s, _, _ in similarities])
    log_focal = leaf([20 * np.log(focal)])
    parameters = [log_depth, frame_q, frame_t, edge_q, edge_t, edge_s, log_focal]

    x = [
        torch.tensor(np.stack([a.reshape(-1, 3) for a in side]).astype(np.float32))
        for side in ([p.pts1 for p in pairs], [p.pts2 for p in pairs])
    ]
    w = [
        torch.log(torch.tensor(np.stack([a.ravel() for a in side]).astype(np.float32)))
        for side in ([p.conf1 for p in pairs], [p.conf2 for p in pairs])
    ]
    ends = [torch.tensor([p.i for p in pairs]), torch.tensor([p.j for p in pairs])]
    u, v = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2)
    grid = torch.tensor(np.stack([u, v], -1).reshape(-1, 2), dtype=torch.float32)

    def world():
        z = log_depth.exp()[..., None]
        camera = torch.cat([z * grid / (log_focal / 20).exp(), z], -1)  # (T, HW, 3)
        return camera @ _matrices(frame_q).transpose(1, 2) + _decode(frame_t)[:, None]

    def objective():
        scale = (edge_s + np.log(0.5) - edge_s.mean()).exp()
        rotation, shift = scale[:, None, None] * _matrices(edge_q), scale[:, None] * _decode(edge_t)
        placed = world()
        return sum(
            (weight * (placed[end] - (cloud @ rotation.transpose(1, 2) + shift[:, None])).norm(dim=-1)).mean()
            for cloud, weight, end in zip(x, w, ends)
        )

    adam = torch.optim.Adam(parameters, lr=0.01, betas=(0.9, 0.9))
    for k in range(steps):
        adam.param_groups[0]["lr"] = 0.01 + (0.001 - 0.01) * k / steps
        adam.zero_grad()
        objective().backward()
        adam.step()
    with torch.no_grad():
        value, focal = float(objective()), float((log_focal[0] / 20).exp())
        cam2world = np.tile(np.eye(4), (n_frames, 1, 1))
        cam2world[:, :3, :3], cam2world[:, :3, 3] = _matrices(frame_q).numpy(), _decode(frame_t).numpy()
        depth = log_depth.exp().reshape(n_frames, height, width).numpy()
    confidence = _largest_confidence(pairs, n_frames)
    return Alignment(invert(cam2world[0]) @ cam2world, focal, depth, np.stack(confidence), value)
