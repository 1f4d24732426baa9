"""Renders the bundled clips with their ground truth: python examples/make.py

Per scene NAME.mp4 (448 x 256, 24 frames per second) and NAME.npz, which `easi3r.synthetic.load_truth` reads: cameras,
intrinsics, depth and moving pixels of every frame.
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))  # run from anywhere, nothing installed

from easi3r import synthetic, video  # noqa: E402

WIDTH, HEIGHT, FPS = 448, 256, 24


def main():
    n_frames = round(FPS * synthetic.SECONDS)
    for name in synthetic.SCENES:
        clip = synthetic.render(name, n_frames, WIDTH, HEIGHT)
        video.write(FOLDER / f"{name}.mp4", clip.frames, FPS)
        synthetic.save_truth(FOLDER / f"{name}.npz", clip)
        print(f"{name}: {n_frames} frames, {100 * clip.dynamic.mean():.0f} % of the pixels move")


if __name__ == "__main__":
    main()
