"""Renders the bundled clips with their ground truth: python examples/make.py

Per scene NAME.mp4 (448 x 256, 24 frames per second; "phone", as if filmed by hand, 256 x 448 and 30); NAME.npz, which
`easi3r.synthetic.load_truth` reads: cameras, intrinsics, depth and moving pixels of every frame; and NAME.result.npz,
what the preview makes of the clip, which the page shows without computing. teaser.mp4 shows one of them. `--results`
makes only what the preview makes, `--phone` only what belongs to that clip.
"""

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))  # run from anywhere, nothing installed

import easi3r
from easi3r import synthetic, video
from easi3r.export.archive import write_small
from easi3r.export.orbit import write_orbit
from easi3r.export.scene import Scene

WIDTH, HEIGHT, FPS = 448, 256, 24
RESULT_FRAMES = 16
TEASER, TEASER_WIDTH = "room", 320
PHONE, PHONE_FPS = "phone", 30
# A phone's film, 1920 x 1080 at 17 Mbit/s and 30 frames per second, has 0.27 bits per pixel; so has this one.
PHONE_FILE = {"b": str(round(0.27 * WIDTH * HEIGHT * PHONE_FPS)), "preset": "veryfast"}


def main():
    names = [PHONE] if "--phone" in sys.argv else [*synthetic.SCENES, PHONE]
    system = easi3r.load_system("preview")
    for name in names:
        if "--results" not in sys.argv:
            make_clip(name)
        result = easi3r.reconstruct(FOLDER / f"{name}.mp4", system, easi3r.Options(max_frames=RESULT_FRAMES))
        write_small(result, FOLDER / f"{name}.result.npz")
        if name == TEASER:
            write_orbit(Scene(result), FOLDER / "teaser.mp4", TEASER_WIDTH)


def make_clip(name):
    if name == PHONE:
        fps, file = PHONE_FPS, PHONE_FILE
        clip = synthetic.filmed(round(fps * synthetic.SECONDS), HEIGHT, WIDTH)
    else:
        fps, file = FPS, video.X264
        clip = synthetic.render(name, round(fps * synthetic.SECONDS), WIDTH, HEIGHT)
    video.write(FOLDER / f"{name}.mp4", clip.frames, fps, file)
    synthetic.save_truth(FOLDER / f"{name}.npz", clip)
    print(f"{name}: {len(clip.frames)} frames, {100 * clip.dynamic.mean():.0f} % of the pixels move")


if __name__ == "__main__":
    main()
