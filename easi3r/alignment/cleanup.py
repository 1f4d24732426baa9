"""Lowers the confidence of points that float in front of a surface another frame is surer of."""

import numpy as np

from ..camera import Camera, invert, transform

REACH = (1, 2, 4, 8)  # compared with frames this far before and after, so the cost grows linearly with the frames
MARGIN = 0.95  # nearer than this share of a surer depth is floating


def remove_floaters(confidence, depth, cam2world, focal, masks=None, margin=MARGIN):
    """Set to 0, in place, the confidence (T,H,W) of points nearer than `margin` times a surer depth of another frame.

    depth (T,H,W), cam2world (T,4,4), focal in pixels, one or (T,); masks (T,H,W) bool of moving pixels, which are
    neither judged nor judge (an object that moved on would be erased by the wall behind it). Source: MonST3R's
    clean-up, which compares all frames with all and with a margin of 0.999. At the noise level of network depth that
    removes half of all good points; 0.95 removes less than one in a hundred and as many of the floating ones
    (`benchmark alignment` measures it).
    """
    n_frames, height, width = depth.shape
    cameras = [Camera.centred(f, width, height) for f in np.broadcast_to(focal, n_frames)]
    world2cam = invert(cam2world)
    for i in range(n_frames):
        points = cameras[i].unproject(depth[i]).reshape(-1, 3)
        judged = confidence[i].ravel() > 0
        if masks is not None:
            judged &= ~masks[i].ravel()
        for j in (i + sign * step for step in REACH for sign in (-1, 1)):
            if not 0 <= j < n_frames:
                continue
            pixels, z = cameras[j].project(transform(world2cam[j] @ cam2world[i], points))
            column, row = np.rint(pixels).T
            inside = judged & (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
            at = row[inside].astype(int) * width + column[inside].astype(int)
            less_sure = confidence[i].ravel()[inside] < confidence[j].ravel()[at]
            floats = less_sure & (z[inside] < margin * depth[j].ravel()[at])
            if masks is not None:
                floats &= ~masks[j].ravel()[at]
            gone = np.flatnonzero(inside)[floats]
            confidence[i].ravel()[gone] = 0
            judged[gone] = False
