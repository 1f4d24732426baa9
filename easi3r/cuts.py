"""Where one shot ends and another begins: hard cuts and dissolves, in small grey pictures that follow each other."""

import cv2
import numpy as np

# What is left of a picture after the one before has been moved onto it (1 - correlation): real clips leave .07 at most
# between neighbouring frames, a cut between two rendered scenes .58. A value of CUT among ones below QUIET is a cut.
CUT, QUIET = 0.3, 0.12
STRAY = 0.7  # noise leaves .83 to .89; where flow loses a camera that is shaken or rolled .25 to .55
# A dissolve: what is left where each pixel is followed through `SPAN` pictures, by small steps, to the last of them, while
# most of them stay inside. Dissolves and wipes of 4 to 24 frames leave .9 of a picture, real clips and snow at most .4.
DISSOLVE, SPAN, STAY = 0.6, 24, 0.6
# Least share that the first and the last picture both have in one between them. Whip pans, a camera that is rolled over
# and a bus that passes by leave as little of a picture but have .15 at most; dissolves and wipes .24 to .4.
SHARE = 0.2
REST = 0.8  # of the most mixed picture, what those two do not explain: .75 in a dissolve of 24 frames, .88 in a whip pan
MIXED = 0.1  # share of the other shot from which a picture counts as mixed; what moves hides the first steps:
MARGIN = 0.25  # of the length of the mix so found, on both of its sides
BLEND_BLUR = 3.0  # pixels, deviation of the blur in which a picture is still like itself after half a second


def unlike(first, second):
    """How little of the second grey picture can be made of the first one by moving its pixels: 0 the same, about 1 nothing."""
    first, second = _normalised(first), _normalised(second)
    moved = cv2.remap(second, _grid(first) + _flow(first, second), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _uncorrelated(first, moved)


def find(greys):
    """Cuts among grey pictures (h,w) that follow each other closely: list of (last before, first after), ascending
    indices; pictures between the two are mixed of both shots."""
    steps = np.array([unlike(a, b) for a, b in zip(greys, greys[1:])])
    hard = [(k, k + 1) for k in np.flatnonzero(steps > CUT) if _stands_out(steps, k)]
    ends = [0, *(after for _, after in hard), len(greys)]
    soft = [mix for a, b in zip(ends, ends[1:]) for mix in _dissolves(greys[a:b], a)]
    return sorted(hard + soft)


def strays(greys):
    """(n,) bool: pictures that look like neither of their neighbours, in a clip where pictures usually do: noise, flashes."""
    steps = np.array([unlike(a, b) for a, b in zip(greys, greys[1:])])
    if np.median(steps) > QUIET:
        return np.zeros(len(greys), bool)
    apart = np.concatenate([[True], steps > STRAY, [True]])
    return apart[1:] & apart[:-1]


def _stands_out(steps, k, reach=3):
    around = np.delete(steps[max(0, k - reach) : k + reach + 1], min(k, reach))
    return len(around) > 0 and (around < QUIET).mean() >= 0.6  # two cuts may be near each other


def _normalised(grey):
    grey = grey.astype(np.float32)
    return np.clip(128 + 50 * (grey - grey.mean()) / (grey.std() + 1), 0, 255).astype(np.uint8)


def _grid(image):
    return np.stack(np.meshgrid(*(np.arange(side, dtype=np.float32) for side in image.shape[::-1])), axis=-1)


def _flow(first, second):
    engine = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    engine.setFinestScale(0)
    return engine.calc(first, second, None)


def _uncorrelated(first, second):
    a, b = (x.astype(np.float64) - x.mean() for x in (first, second))
    return float(1 - (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum() + 1))


# ---- dissolves


def _dissolves(greys, start):
    """As `find`, of dissolves alone, within one piece between hard cuts that begins at index `start`."""
    if len(greys) <= SPAN // 2:
        return []
    span = min(SPAN, len(greys) - 1)
    even = [_normalised(grey) for grey in greys]
    flows = [_flow(a, b) for a, b in zip(even, even[1:])]
    places = range(0, len(greys) - span, max(1, span // 8))
    lost = np.array([_followed(even, flows, k, k + span) > DISSOLVE for k in places])
    found, run = [], []
    for k, gone in zip([*places, None], [*lost, False]):
        if gone:
            run.append(k)
        elif run:  # the window in the middle has the dissolve in its middle
            mix, run = _mix(greys, run[len(run) // 2], run[len(run) // 2] + span), []
            found += [(start + mix[0], start + mix[1])] if mix else []
    return found


def _followed(even, flows, first, last):
    """What is left of picture `last` where the pixels of picture `first` are followed to it; 0 if they leave it."""
    at = _grid(even[0])
    for flow in flows[first:last]:
        at += cv2.remap(flow, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = ((at >= 0) & (at <= np.array(even[0].shape[::-1]) - 1)).all(axis=-1)
    if inside.mean() < STAY:
        return 0.0
    moved = cv2.remap(even[last], at, None, cv2.INTER_LINEAR)
    return _uncorrelated(even[first][inside], moved[inside])


def _mix(greys, first, last):
    """(last picture before, first after) those that are mixed of pictures `first` and `last`; None if none is."""
    smooth = [cv2.GaussianBlur(grey.astype(np.float32), (0, 0), BLEND_BLUR) for grey in greys[first : last + 1]]
    smooth = np.array([(picture - picture.mean()).ravel() for picture in smooth])
    shares = np.linalg.lstsq(smooth[[0, -1]].T, smooth.T, rcond=None)[0].clip(1e-6)  # (2, pictures)
    rest = ((smooth - shares.T @ smooth[[0, -1]]) ** 2).sum(axis=1) / (smooth**2).sum(axis=1).clip(1)
    if not ((shares.min(axis=0) >= SHARE) & (rest <= REST)).any():
        return None
    other = shares[1] / shares.sum(axis=0)
    before = int(np.flatnonzero(other < MIXED).max(initial=0))
    after = before + 1 + int(np.argmax(other[before + 1 :] > 1 - MIXED))
    if before == 0 or after == last - first:  # never as either shot is: no passage from one to the other
        return None
    margin = int(np.ceil(MARGIN * (after - before)))
    return max(first + before - margin, 0), min(first + after + margin, len(greys) - 1)
