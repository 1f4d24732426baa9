"""python -m easi3r CLIP --out DIR"""

import argparse
import logging
import sys

from tqdm import tqdm

from . import InputError, Options, load_backbone, reconstruct


def main(argv=None):
    """Reconstruct a clip and write all files. Returns the exit code: 0, or 2 when the input cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m easi3r", description="See a video in 3D over time.")
    parser.add_argument("clip", help="a video (mp4, mov, webm, mkv, avi, gif), an image, or a folder or zip of images")
    parser.add_argument("--out", default="out", help="folder for the results (default: %(default)s)")
    parser.add_argument("--backbone", default="auto", help="auto, preview, dust3r, monst3r, a hub id, a folder or a file")
    parser.add_argument("--max-frames", type=int, default=Options.max_frames, help="frames used (default: %(default)s)")
    arguments = parser.parse_args(argv)
    logging.getLogger("easi3r").setLevel(logging.ERROR)  # what it warns of is printed at the end
    try:
        return _run(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; nothing was written.", file=sys.stderr)
        return 130


def _run(arguments):
    options = Options(max_frames=arguments.max_frames)
    with tqdm(total=100, bar_format="{l_bar}{bar}| {elapsed} {desc}") as bar:

        def progress(fraction, text):
            bar.set_description_str(text, refresh=False)
            bar.update(round(100 * fraction) - bar.n)

        backbone = load_backbone(arguments.backbone, progress=progress)
        result = reconstruct(arguments.clip, backbone, options, progress)
        progress(1, "Writing the results")
        files = result.save(arguments.out)
    print(f"Made with the backbone {result.info['backbone']['name']}. The scale is arbitrary.")
    print(backbone.note)
    for warning in result.info["warnings"]:
        print(f"Note: {warning}")
    for path in files.values():
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
