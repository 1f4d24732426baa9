"""The data sets: which sequences they have, how these lie on the disk, which of their frames are used.

Source: the specification of the evaluation, section 3. A loader reads what is small (poses, lists); pictures, labels
and depth are read when they are asked for.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import InputError, shown
from ..metrics import lower_median
from ..paths import quoted
from .folders import find_clips, load_clip
from .formats import (
    associate,
    check_folder,
    files,
    numbered,
    orthogonal,
    read_cam,
    read_colmap,
    read_dpt,
    read_list,
    read_trajectory,
    reading,
)
from .sequence import Sequence, read_array, read_mask, read_millimetres, read_picture

_BONN_PREFIX = "rgbd_bonn_"
_BONN_UNIT = 5000  # of its depth, per metre
_LEAST_DISPARITY, _DEPTH_REACH = 1e-3, 2.5  # of DyCheck's depth; reach in medians of the frames' largest


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_DAVIS16 = _names("""
    blackswan bmx-trees breakdance camel car-roundabout car-shadow cows dance-twirl dog drift-chicane drift-straight
    goat horsejump-high kite-surf libby motocross-jump paragliding-launch parkour scooter-black soapbox
""")
_DAVIS17 = _DAVIS16 + _names("""
    bike-packing dogs-jump gold-fish india judo lab-coat loading mbike-trick pigs shooting
""")
_TUM = tuple(
    f"rgbd_dataset_freiburg3_{what}_{how}"
    for what in ("sitting", "walking")
    for how in ("static", "xyz", "halfsphere", "rpy")
)
_ADT = _names("""
    Apartment_release_decoration_seq138_5 Apartment_release_multiskeleton_party_seq117_4
    Apartment_release_multiskeleton_party_seq121_1 Apartment_release_multiskeleton_party_seq121_2
    Apartment_release_multiuser_cook_seq118_8 Apartment_release_multiuser_cook_seq144_4
    Apartment_release_work_seq140_1 Lite_release_recognition_BirdHouseToy_seq030_6
""")
_SINTEL = _names("""
    alley_2 ambush_4 ambush_5 ambush_6 cave_2 cave_4 market_2 market_5 market_6 shaman_3 sleeping_1 sleeping_2
    temple_2 temple_3
""")
_BONN = _names("balloon2 crowd2 crowd3 person_tracking2 synchronous")


@dataclass(frozen=True)
class Dataset:
    """What is measured on which sequences."""

    measures: tuple[str, ...]  # of "masks", "cameras", "depth", "points"
    load: Callable[[Path], Sequence]  # raises `InputError` that names the file
    where: str = ""  # folder of the sequences below that of the data
    names: tuple[str, ...] | None = None  # the list that is averaged; None: every folder
    limited: bool = False  # aligned depths are cut at that of the truth
    prefix: str = ""  # of the folders' names, left out in the report
    find: Callable[[Path], dict[str, Path]] | None = None  # sequences by name, where they are not folders

    def sequences(self, data: str | Path) -> dict[str, Path]:
        """Where the sequences of the set lie in the folder `data`, sorted by name. Raises `InputError` if none does."""
        data = check_folder(data)
        folder = data / self.where
        found = (self.find or self._folders)(folder) if folder.is_dir() else {}
        found = {name: found[name] for name in sorted(found) if self.names is None or name in self.names}
        if not found:
            wanted = f"such as {self.prefix}{self.names[0]}" if self.names else "a folder per sequence"
            if not folder.is_dir():
                raise InputError(f"{quoted(data)} has no folder {self.where} with the sequences ({wanted}); check it.")
            raise InputError(f"{quoted(folder)} holds no sequence of this data set ({wanted}); check the folder.")
        return found

    def _folders(self, folder):
        kept = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
        return {path.name.removeprefix(self.prefix): path for path in kept}


def _davis(folder: Path) -> Sequence:
    labels = files(folder, "*.png")
    pictures = folder.parents[2] / "JPEGImages" / "480p" / folder.name
    return Sequence(
        _all(read_picture, [pictures / f"{path.stem}.jpg" for path in labels]), labels=_all(read_mask, labels)
    )


def _tum(folder: Path, stride: int, most: int | None = None) -> Sequence:
    listed = read_list(folder / "rgb.txt")
    stamps, poses = read_trajectory(folder / "groundtruth.txt")
    pairs = associate(np.array([stamp for stamp, _ in listed]), stamps)[::stride][:most]
    return Sequence(_all(read_picture, [folder / listed[i][1] for i, _ in pairs]), poses=poses[[j for _, j in pairs]])


def _adt(path: Path, stride: int = 5) -> Sequence:
    if path.suffix == ".npz":
        poses = np.linalg.inv(_stored(path, "extrinsics_w2c")[::stride].astype(np.float64))
        coded = cache(lambda: _stored(path, "images_jpeg_bytes")[::stride])
        pictures = tuple(partial(_decoded, path, coded, i) for i in range(len(poses)))
        return Sequence(pictures, poses=orthogonal(poses))
    cameras = files(path / "camera", "*.json")[::stride]
    world2cam = np.array([_read_json(camera, "w2c") for camera in cameras], np.float64)
    pictures = _all(read_picture, [path / "rgb" / f"{camera.stem}.png" for camera in cameras])
    return Sequence(pictures, poses=orthogonal(np.linalg.inv(world2cam)))


def _find_adt(folder: Path) -> dict[str, Path]:
    found = {path.stem: path for path in folder.glob("*.npz")}
    return found | {path.name: path for path in folder.iterdir() if (path / "camera").is_dir()}


def _stored(path, key):
    with reading(path), np.load(path, allow_pickle=False) as stored:
        return stored[key]


def _decoded(path, coded, i):
    with reading(path):
        return Image.open(BytesIO(coded()[i])).convert("RGB")


def _read_json(path, key):
    with reading(path):
        return json.loads(path.read_text("utf-8"))[key]


def _dycheck(folder: Path, stride: int = 10) -> Sequence:
    names, processed = _read_json(folder / "splits" / "train.json", "frame_names"), folder / "flow3d_preprocessed"
    cameras = read_colmap(processed / "colmap" / "sparse")
    maps = processed / "aligned_depth_anything_colmap" / "1x"
    highest = [_from_disparity(maps / f"{name}.npy").max() for name in names]
    reach = _DEPTH_REACH * lower_median(np.array(highest))
    chosen = names[::stride]
    with reading(processed / "colmap" / "sparse" / "images.bin"):
        matrices, poses = (np.array(values) for values in zip(*(cameras[f"{name}.png"] for name in chosen)))
    return Sequence(
        _all(read_picture, [folder / "rgb" / "1x" / f"{name}.png" for name in chosen]),
        poses=orthogonal(poses),
        depth=_all(partial(_from_disparity, reach=np.float32(reach)), [maps / f"{name}.npy" for name in chosen]),
        intrinsics=matrices,
    )


def _from_disparity(path, reach=np.inf):
    return np.minimum(1 / np.maximum(read_array(path), np.float32(_LEAST_DISPARITY)), reach)


def _sintel(folder: Path) -> Sequence:
    cameras = files(folder, "*.cam")
    return Sequence(_sintel_pictures(cameras), poses=orthogonal(np.array([read_cam(path) for path in cameras])))


def _sintel_depth(folder: Path) -> Sequence:
    maps = files(folder, "*.dpt")
    return Sequence(_sintel_pictures(maps), depth=_all(read_dpt, maps))


def _sintel_pictures(paths):
    training = paths[0].parents[2]
    return _all(read_picture, [training / "final" / path.parent.name / f"{path.stem}.png" for path in paths])


def _scannet(folder: Path, stride: int = 3, first: int = 270) -> Sequence:
    chosen = numbered(folder / "pose", "*.txt")[:first:stride]
    poses = []
    for path in chosen:
        with reading(path):
            pose = np.loadtxt(path).reshape(4, 4)
            poses.append(pose if np.isfinite(pose).all() else np.full((4, 4), np.nan))
    pictures = _all(read_picture, [folder / "color" / f"{path.stem}.jpg" for path in chosen])
    return Sequence(pictures, poses=orthogonal(np.array(poses)))


def _bonn(folder: Path, chosen: slice = slice(30, 140)) -> Sequence:
    pictures, maps = (_stamped(folder, name) for name in ("rgb", "depth"))
    stamps, poses = read_trajectory(folder / "groundtruth.txt")
    chosen = slice(chosen.start, min(chosen.stop, len(pictures), len(maps), len(poses)))
    depth = partial(_all, partial(read_millimetres, unit=_BONN_UNIT))
    sequence = Sequence(_all(read_picture, pictures[chosen]), poses=poses[chosen], depth=depth(maps[chosen]))
    times = [np.array([float(path.stem) for path in paths]) for paths in (pictures, maps)]
    nearest = [int(np.abs(times[1] - time).argmin()) for time in times[0][chosen]]
    pairs = dict(associate(times[0], stamps))
    lost = np.full((4, 4), np.nan)
    near = np.array([poses[pairs[i]] if i in pairs else lost for i in range(len(pictures))])[chosen]
    return replace(sequence, by_time=replace(sequence, poses=near, depth=depth([maps[k] for k in nearest])))


def _stamped(folder, name):
    """Files of that folder, sorted by the stamps that are their names; of pictures that are not there: as listed."""
    found = list((folder / name).glob("*.png")) or [folder / file for _, file in read_list(folder / f"{name}.txt")]
    with reading(folder / name):
        return sorted(found, key=lambda path: float(path.stem))


def _all(read, paths):
    return tuple(partial(read, path) for path in paths)


_ANNOTATIONS = "Annotations/480p"
DATASETS = {
    "davis16": Dataset(("masks",), _davis, _ANNOTATIONS, _DAVIS16),
    "davis17": Dataset(("masks",), _davis, _ANNOTATIONS, _DAVIS17),
    "davis-all": Dataset(("masks",), _davis, _ANNOTATIONS),
    "tum": Dataset(("cameras",), partial(_tum, stride=30), names=_TUM),
    "tum90": Dataset(("cameras",), partial(_tum, stride=3, most=90), names=_TUM),
    "adt": Dataset(("cameras",), _adt, names=_ADT, find=_find_adt),
    "dycheck": Dataset(("cameras", "points"), _dycheck),
    "sintel": Dataset(("cameras",), _sintel, "training/camdata_left", _SINTEL),
    "sintel-depth": Dataset(("depth",), _sintel_depth, "training/depth", limited=True),
    "scannet": Dataset(("cameras",), _scannet),
    "bonn": Dataset(("depth", "cameras"), _bonn, names=_BONN, prefix=_BONN_PREFIX),
    "folder": Dataset(("masks", "cameras", "depth"), load_clip, find=find_clips),
}


def dataset_of(name: str) -> Dataset:
    """A data set by name. Raises `InputError` for one that is not in the table."""
    if name not in DATASETS:
        raise InputError(f"The data set {shown(name)} is unknown; use {', '.join(DATASETS)}.")
    return DATASETS[name]
