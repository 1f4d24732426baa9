"""A small writer of binary glTF 2.0 (GLB): coloured triangles, lines and points, nodes shown one after the other.

Format: Khronos glTF 2.0 specification, https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

POINTS, LINES, TRIANGLES = 0, 1, 4  # glTF primitive modes
_FLOAT = 5126
_COMPONENT = {"uint8": 5121, "uint16": 5123, "uint32": 5125, "float32": _FLOAT}
_VERTICES, _INDICES = 34962, 34963  # glTF buffer targets


class GlbWriter:
    """Collects geometry, then writes one file.

    Every primitive is unlit (its colours are shown as they are, KHR_materials_unlit) and double sided.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._json: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "Easi3R demo"},
            "extensionsUsed": ["KHR_materials_unlit"],
            "scene": 0,
            "scenes": [{"nodes": []}],
            "nodes": [],
            "meshes": [],
            "accessors": [],
            "bufferViews": [],
            "materials": [],
        }
        self._timed: list[tuple[int, int]] = []  # (node, step) of the nodes that are shown during one step only
        self._surface = self._material("surface", {"baseColorFactor": [1, 1, 1, 1], "metallicFactor": 0})
        self._invisible: int | None = None
        self._groups: dict[str, int] = {}  # name -> node

    @property
    def size(self) -> int:
        """Bytes of the geometry so far."""
        return len(self._buffer)

    def primitive(
        self, positions: np.ndarray, colours: np.ndarray, indices: np.ndarray | None = None, mode: int = TRIANGLES
    ) -> dict[str, Any]:
        """A part of a mesh. positions (N, 3) float; colours (N, 3) uint8 or uint16, full range = 1, linear light;
        indices (M, k) integers into them, k = 3 for TRIANGLES, 2 for LINES, None for POINTS.

        Returns the glTF primitive, to be given to `node`.
        """
        attributes = {"POSITION": self._positions(positions), "COLOR_0": self._colours(colours)}
        primitive = {"attributes": attributes, "mode": mode, "material": self._surface}
        if indices is not None:
            small = len(positions) < 65535  # the largest uint16 is reserved
            flat = np.ascontiguousarray(indices, dtype=np.uint16 if small else np.uint32).ravel()
            primitive["indices"] = self._accessor(flat, "SCALAR", target=_INDICES)
        return primitive

    def bounds(self, corners: np.ndarray) -> dict[str, Any]:
        """Two invisible points (2, 3) that only widen the bounding box a viewer frames. Returns a primitive."""
        if self._invisible is None:
            self._invisible = self._material("bounds", {"baseColorFactor": [0, 0, 0, 0], "metallicFactor": 0})
            self._json["materials"][self._invisible]["alphaMode"] = "BLEND"
        return {"attributes": {"POSITION": self._positions(corners)}, "mode": POINTS, "material": self._invisible}

    def node(
        self, name: str, primitives: list[dict[str, Any]], step: int | None = None, group: str | None = None
    ) -> None:
        """Put primitives into the scene, or with `group` below a node of that name; with `step` only during that time
        step.

        A hidden node is scaled to nothing, into the origin. Viewers that do not play animations show step 0.
        """
        siblings = self._json["scenes"][0]["nodes"] if group is None else self._children(group)
        node = {"name": name, "mesh": len(self._json["meshes"])}
        self._json["meshes"].append({"name": name, "primitives": primitives})
        if step is not None:
            node["scale"] = [1, 1, 1] if step == 0 else [0, 0, 0]
            self._timed.append((len(self._json["nodes"]), step))
        siblings.append(len(self._json["nodes"]))
        self._json["nodes"].append(node)

    def _children(self, group):
        if group not in self._groups:
            self._groups[group] = len(self._json["nodes"])
            self._json["scenes"][0]["nodes"].append(self._groups[group])
            self._json["nodes"].append({"name": group, "children": []})
        return self._json["nodes"][self._groups[group]]["children"]

    def write(self, path: str | Path, fps: float | None = None, extras: dict[str, Any] | None = None) -> None:
        """Write the file. `fps`: steps per second, needed if a node has a step. `extras`: dict kept with the scene."""
        if self._timed:
            self._animate(fps)
        if extras:
            self._json["scenes"][0]["extras"] = extras
        self._json["buffers"] = [{"byteLength": len(self._buffer)}]
        text = json.dumps(self._json, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + len(self._buffer)
        with open(path, "wb") as file:
            file.write(struct.pack("<4sII", b"glTF", 2, total))
            file.write(struct.pack("<I4s", len(text), b"JSON") + text)
            file.write(struct.pack("<I4s", len(self._buffer), b"BIN\0") + self._buffer)

    def _animate(self, fps):
        """Scale every timed node 0 -> 1 -> 0 without transitions: the one animation all glTF viewers know."""
        steps = 1 + max(step for _, step in self._timed)
        samplers, channels = [], []
        for node, step in self._timed:
            keys = sorted({0, step, step + 1, steps})  # all nodes share the first and the last key
            shown = [min(key, steps - 1) == step for key in keys]
            samplers.append(
                {
                    "input": self._accessor(np.array(keys, np.float32) / np.float32(fps), "SCALAR", bounded=True),
                    "output": self._accessor(np.repeat(np.array(shown, np.float32)[:, None], 3, axis=1), "VEC3"),
                    "interpolation": "STEP",
                }
            )
            channels.append({"sampler": len(samplers) - 1, "target": {"node": node, "path": "scale"}})
        self._json["animations"] = [{"name": "time", "samplers": samplers, "channels": channels}]

    def _material(self, name, colour):
        self._json["materials"].append(
            {
                "name": name,
                "pbrMetallicRoughness": colour,
                "doubleSided": True,
                "extensions": {"KHR_materials_unlit": {}},
            }
        )
        return len(self._json["materials"]) - 1

    def _positions(self, positions):
        return self._accessor(np.ascontiguousarray(positions, dtype=np.float32), "VEC3", target=_VERTICES, bounded=True)

    def _colours(self, colours):
        padded = np.zeros((len(colours), 4), colours.dtype)  # every vertex starts at a multiple of four bytes
        padded[:, :3] = colours
        return self._accessor(padded, "VEC3", target=_VERTICES, stride=padded.strides[0], normalized=True)

    def _accessor(self, array, kind, target=None, stride=None, bounded=False, normalized=False):
        view = {"buffer": 0, "byteOffset": len(self._buffer), "byteLength": array.nbytes}
        if target:
            view["target"] = target
        if stride:
            view["byteStride"] = stride
        self._buffer += array.tobytes()
        self._buffer += bytes(-len(self._buffer) % 4)
        accessor = {
            "bufferView": len(self._json["bufferViews"]),
            "componentType": _COMPONENT[array.dtype.name],
            "count": len(array),
            "type": kind,
        }
        if normalized:
            accessor["normalized"] = True
        if bounded:
            rows = array.reshape(len(array), -1)
            accessor["min"], accessor["max"] = rows.min(axis=0).tolist(), rows.max(axis=0).tolist()
        self._json["bufferViews"].append(view)
        self._json["accessors"].append(accessor)
        return len(self._json["accessors"]) - 1
