"""Which tokens look alike, in all frames together."""

from typing import Any

import numpy as np

CLUSTERS = 64  # at most 256: labels are uint8
SEED = 42  # of the first centres, as published


def cluster(tokens: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Labels (T,h,w) uint8 of tokens (T,h,w,C): one label for what looks alike, in all frames together.

    device: torch's name of where they are found, where scikit-learn takes seconds.
    """
    features = tokens.reshape(-1, tokens.shape[-1]).astype(np.float32)
    count = len(np.unique(features[:, 0]))
    if count < CLUSTERS:  # there may be more; whole tokens take seconds to sort
        count = min(CLUSTERS, len(np.unique(features, axis=0)))
    if device in ("cpu", "mps"):
        from sklearn.cluster import KMeans  # takes two seconds to import, and the preview has no clusters

        labels = KMeans(min(CLUSTERS, count), random_state=SEED, n_init=1).fit(features).labels_
    else:
        labels = _on_device(features, min(CLUSTERS, count), device)
    return labels.reshape(tokens.shape[:3]).astype(np.uint8)


def _on_device(features: np.ndarray, count: int, device: str) -> np.ndarray:
    """Labels (N,) of features (N,C) by Lloyd's algorithm as scikit-learn's `KMeans` does it; what rounds otherwise may
    end in other clusters, as good.
    """
    import torch

    points = torch.as_tensor(features - features.mean(0), device=device)
    centres = points[_spread(points.double(), count)]
    settled, last = 1e-4 * float(points.var(0, correction=0).mean()), None  # scikit-learn's tolerance
    for _ in range(300):  # and its number of rounds
        labels = _nearest(points, centres)
        if last is not None and torch.equal(labels, last):
            break
        members = torch.nn.functional.one_hot(labels, count).T.float()
        size = members.sum(1, keepdim=True)
        moved = torch.where(size > 0, members @ points / size.clip(1), centres)
        shift, centres, last = float(((moved - centres) ** 2).sum()), moved, labels
        if shift <= settled:
            break
    return _nearest(points, centres).cpu().numpy()


def _spread(points: Any, count: int) -> list[int]:
    """Which of the points (N,C), a float64 tensor, are the first centres: greedy k-means++ (Arthur and Vassilvitskii
    2007), with scikit-learn's random numbers.
    """
    import torch

    random, tries = np.random.RandomState(SEED), 2 + int(np.log(count))
    size = (points**2).sum(1)

    def far(chosen: np.ndarray) -> Any:  # (n,N) squared distances
        return (size[chosen, None] - 2 * points[chosen] @ points.T + size).clip(0)

    found = [int(random.choice(len(points), p=np.full(len(points), 1 / len(points))))]
    least = far(np.array(found))[0]
    for _ in range(count - 1):
        wanted = random.uniform(size=tries) * float(least.sum())
        drawn = np.searchsorted(least.cumsum(0).cpu().numpy(), wanted).clip(0, len(points) - 1)
        left = torch.minimum(least, far(drawn))
        best = int(left.sum(1).argmin())
        found.append(int(drawn[best]))
        least = left[best]
    return found


def _nearest(points: Any, centres: Any) -> Any:
    """Which of the centres (K,C) is the nearest to each of the points (N,C), (N,); tensors."""
    return ((centres**2).sum(1) - 2 * points @ centres.T).argmin(1)
