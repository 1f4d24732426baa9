"""README.txt: what every file of a result is, in plain words, and how it opens."""

import textwrap
from pathlib import Path

from ..large import MANY
from .scene import Scene
from .videos import playback_fps

_WIDTH = 96

_TEXT = """\
{title}
{rule}
{summary}
{notes}
In short
  To look at the scene:      player.html (any browser: turn it, play it), orbit.mp4 (a video)
  To look at what moves:     masks.mp4          and at depth: depth.mp4
  To go on in Blender:       scene.glb + camera.gltf
  To train Gaussian splats:  the folder dataset

What all files have in common
  Unit      {unit}
  World     {world}
  Axes      x right, y down, z forward into the scene (as in OpenCV and COLMAP), for cameras and
            world. scene.glb and camera.gltf: x right, y up, z backward, as glTF wants it.
  Sizes     {sizes}
  Pixels    In cameras.json whole numbers are pixel centres: (0, 0) is the centre of the top left
            pixel. COLMAP and nerfstudio count from the corner of the picture, so that centre is
            (0.5, 0.5) there. The files are written accordingly: cx and cy differ by 0.5.
  Frames    {frames}, numbered from 00000; when each was filmed is in cameras.json (timestamp).{long}

File by file
  player.html    The scene to turn and play in a browser; one file, works without a network.
                 Compare it with the video, colour it by time, confidence or motion, show movers
                 one by one, measure.
  orbit.mp4      The same as a video, the camera gently circling.
  scene.glb      The static scene as a surface, what moves playing in it, the camera's path.
                 Blender: File > Import > glTF. Or drop it on any glTF viewer. Each mover has a
                 node, such as "mover 2"; Shift+click its eye in Blender's Outliner to hide it.
  camera.gltf    The camera, animated. Import it into Blender after scene.glb (File > Import >
                 glTF), select it, press Ctrl+Numpad 0 and set the resolution to {source}:
                 it sees what the original video shows, which can lie behind it as background.
                 Both files play together, {seconds:.2f} seconds from the first frame to the last.
  static.ply     What stands still as coloured points (absent if everything moves). MeshLab,
                 CloudCompare, Blender (File > Import > Stanford PLY).
  moving/        What moves as coloured points, a PLY file per frame; "mover" tells movers apart.
                 {moving}
  poses.txt      The camera's path in the TUM format: seconds x y z qx qy qz qw, camera to world.
                 evo: evo_traj tum poses.txt --plot
  path.png       The camera's path from above.
  cameras.json   Positions and intrinsics of all frames, for the working size and for the size of
                 the original video, with all conventions in words.
  dataset/       Pictures, masks (black = moving, to be ignored) and cameras for other programs;
                 the intrinsics are those of the pictures there.
                 COLMAP: File > Import model > dataset/sparse/0, pictures in dataset/images.
                   Masks for its command line: --ImageReader.mask_path dataset/masks
                 nerfstudio: ns-train splatfacto --data dataset
                 Other trainers of Gaussian splats: open the folder dataset.
                 The points were not matched by COLMAP but taken from the depth of the frames.
  depth/         Depth as 16-bit PNG. Depth along the viewing axis = value x "scale" of
                 depth/scale.json; value 0 = unusable.
  masks/         What moves as PNG with a palette: 0 = stands still, 1 = mover 1, 2 = mover 2, ...
                 Numbers and colours are those of masks.mp4; the largest mover is 1.
  masks.mp4      The video with each mover in a colour; twice where SAM 2 drew it, before and after.
  background.mp4 The video without what moves: what it hides is taken from the frames that show it.
                 Striped where too few frames show it. If nothing moves it is the video.
  background/    The same as PNG, transparent where too few frames show it.
  depth.mp4      Depth in colours, red is near.
  confidence.mp4 How sure the depth is, yellow is sure.
  inside.mp4     How the moving pixels were found: the evidence, step by step.
  arrays.npz     Everything as arrays at full precision.
                 Python: numpy.load("arrays.npz")["depth"], or easi3r.load_reconstruction(".")
  report.json    How this was made: options, seconds per step, versions, warnings.
"""

_LONG = """
            It is a long clip: to stay small files, player.html, scene.glb and orbit.mp4 show the
            static scene as a choice of frames spread over the clip saw it, and player.html and
            scene.glb what moves at fewer moments. All other files have every frame."""


def write_guide(scene: Scene, path: Path) -> None:
    """Text file (UTF-8) that states axes, unit, pixel convention and what each file of `save` is, with the figures of
    this result, the system that made it and the licence of its weights."""
    result = scene.result
    framing, n_frames = result.framing, len(result.frames)
    title = f"RESULT OF {result.info.get('source', 'a clip')}"
    moving = int(result.dynamic.any(axis=(1, 2)).sum())
    text = _TEXT.format(
        title=title,
        rule="=" * len(title),
        summary=_summary(result.info),
        notes=_notes(result.info),
        world=_world(result.info.get("world")),
        unit=_indented(_unit(scene)),
        source="{} x {}".format(*framing.source_size),
        sizes=_indented(_sizes(framing)),
        frames=n_frames,
        long=_LONG if n_frames > MANY else "",
        seconds=(n_frames - 1) / playback_fps(result.timestamps),
        moving=f"Something moves in {moving} of {n_frames} frames." if moving else "Absent: nothing was found to move.",
    )
    path.write_text(text, encoding="utf-8")


def _world(other):
    """Which frame of reference this is; other: where it is not that of the result's own first camera."""
    if other is None:
        return "The first camera. Its position is the origin."
    return _indented(f"{other[0].upper()}{other[1:]}.")


def _unit(scene):
    known = scene.result.info.get("scale")
    if known:
        return f"Metres, in all files, from {known['from']}. All lengths are as right as this one."
    return (
        "Arbitrary. A video alone does not tell metres from miles: lengths are right only relative to each other, and "
        "the same unit holds in all files but scene.glb and camera.gltf, which share one of their own "
        f"(x {scene.units_per_world_unit:.6g}: units_per_world_unit in them)."
    )


def _sizes(framing):
    source, kept, resized, working = (
        "{} x {}".format(*size) for size in (framing.source_size, framing.inner[2:], framing.resized, framing.size)
    )
    bars = "" if kept == source else f"What lies around the scene, such as bars, was cut off first, which left {kept}. "
    return (
        f"The video is {source} pixels. {bars}It was resized to {resized} and cut to {working}, the working size; "
        "all pictures here have that size, but for those in the folder dataset if the size of the video was asked for "
        "there."
    )


def _indented(said):
    return f"\n{' ' * 12}".join(textwrap.wrap(said, _WIDTH - 12))


def _summary(info):
    backbone = info.get("backbone", {})
    said = f"Made with {info.get('system', backbone.get('name', 'unknown'))}"
    said += f" ({backbone['weights']})." if backbone.get("weights") else "."
    if backbone.get("license"):
        said += f" Licence: {backbone['license']}."
    return textwrap.fill(said, _WIDTH)


def _notes(info):
    notes = (textwrap.fill(f"Note: {warning}", _WIDTH) for warning in info.get("warnings", []))
    return "".join(f"{note}\n" for note in notes)
