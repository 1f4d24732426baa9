"""The figures of those compared, a row each, for people and for programs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..camera import Camera
from ..reconstruction import Reconstruction
from ..scoring import score


@dataclass(frozen=True)
class Row:
    """What is said of one system."""

    name: str
    label: str
    failure: str | None = None  # the sentence with which it ended; all below is None or empty then
    seconds: float | None = None  # of computing, loading and reading left out
    memory_mb: float | None = None  # resident memory of the whole process at its highest; None: not known here
    gpu_memory_mb: float | None = None  # allocated on the GPU at its highest; None: none was used
    moving: float | None = None  # share of the pixels
    focal: float | None = None  # pixels of the working size, median of the frames
    fov: float | None = None  # the same as horizontal field of view, degrees
    path: float | None = None  # length of the camera's path in the common world, in median depths of the first result
    agreement: dict[str, float | None] = field(default_factory=dict)  # see `agreement.Check.report`
    aligned: str | None = None  # what its world was brought into the first one's from
    truth: dict[str, float] = field(default_factory=dict)  # see `scoring.score`; empty without a truth
    warnings: tuple[str, ...] = ()


def row(name: str, label: str, result: Reconstruction, unit: float, aligned: str, truth: Any, **used: Any) -> Row:
    """The `Row` of a result in the common world. unit: median depth of the first; used: seconds and memory."""
    width, height = result.framing.size
    focal = float(np.median(result.intrinsics[:, 0, 0]))
    steps = np.linalg.norm(np.diff(result.cam2world[:, :3, 3], axis=0), axis=1)
    return Row(
        name,
        label,
        moving=float(result.dynamic.mean()),
        focal=focal,
        fov=Camera.centred(focal, width, height).fov[0],
        path=float(steps.sum() / unit),
        agreement=result.info.get("check") or {},
        aligned=aligned,
        truth={} if truth is None else score(result, truth),
        warnings=tuple(result.info["warnings"]),
        **used,
    )


def markdown(table: Mapping[str, Row]) -> str:
    """The table as Markdown: a column per system; below it what is to be minded, system by system."""
    rows = list(table.values())
    lines = ["| |" + "".join(f" {row.label} |" for row in rows), "|---|" + "---|" * len(rows)]
    for title, cell in _LINES.items():
        cells = ["failed" if row.failure else cell(row) for row in rows]
        if any(c not in ("-", "failed") for c in cells):
            lines.append(f"| {title} |" + "".join(f" {c} |" for c in cells))
    said = [f"- **{row.label}**: {text}" for row in rows for text in (row.warnings or filter(None, [row.failure]))]
    return "\n".join([*lines, *(["", *said] if said else [])]) + "\n"


def _number(value: float | None, style: str) -> str:
    return "-" if value is None or not np.isfinite(value) else style.format(value)


def _true(name: str, style: str) -> Any:
    return lambda row: _number(row.truth.get(name), style)


_LINES = {
    "seconds": lambda row: _number(row.seconds, "{:.1f}"),
    "peak memory": lambda row: _number(row.memory_mb, "{:.0f} MB"),
    "peak GPU memory": lambda row: _number(row.gpu_memory_mb, "{:.0f} MB"),
    "moving pixels": lambda row: _number(row.moving, "{:.1%}"),
    "focal": lambda row: _number(row.focal, "{:.0f} px") + _number(row.fov, " ({:.1f}° wide)"),
    "path length, in median depths of the first": lambda row: _number(row.path, "{:.3f}"),
    "explains of what stands still, next frame": lambda row: _number(row.agreement.get("agreement_gap_1"), "{:.1%}"),
    "the same, four frames on": lambda row: _number(row.agreement.get("agreement_gap_4"), "{:.1%}"),
    "brought into the first one's world by": lambda row: row.aligned or "-",
    "mask J (truth)": _true("J", "{:.3f}"),
    "ATE / path (truth)": _true("ate", "{:.2%}"),
    "RTE / path (truth)": _true("rte", "{:.2%}"),
    "RRE (truth)": _true("rre", "{:.3f}°"),
    "focal error (truth)": _true("focal", "{:.1%}"),
    "depth AbsRel, all pixels (truth)": _true("absrel", "{:.3f}"),
    "depth AbsRel, static and sure (truth)": _true("absrel_static", "{:.3f}"),
    "warnings": lambda row: str(len(row.warnings)),
}
