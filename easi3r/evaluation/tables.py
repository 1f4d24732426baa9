"""The result in words and tables: a row per reading beside the papers' rows, a CSV row per sequence."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from .datasets import DATASETS
from .papers import paper_rows
from .protocol import METRICS

_OPEN = ("scored",)  # states of which nothing is to be said
_READINGS = {
    "frames": "frames pooled, as published",
    "pixels": "pixels pooled, as published",
    "sequences": "mean over sequences",
    "pixels_time": "pixels pooled, depth nearest in time",
    "sequences_time": "mean over sequences, depth and poses nearest in time",
}
_NOTES = {
    "run": "Our aligner is not the published one.",
    "depth": "AbsRel_scale hangs on rounding by up to 1 % of itself: its last digits mean nothing.",
    "masks": "J and F in percent. Objects are merged, first and last frames count.",
}


def markdown(name: str, results: Mapping[str, Mapping[str, Any]], ran: bool) -> str:
    """The table of a data set: results by label (see `protocol.summary`), each reading a row, then the papers' rows."""
    metrics = [
        m for measure in DATASETS[name].measures for m in METRICS[measure] if name != "folder" or _has(results, m)
    ]
    lines = [
        f"| {name} | sequences |" + "".join(f" {_title(m)} |" for m in metrics),
        "|---|---|" + "---|" * len(metrics),
    ]
    for label, result in results.items():
        n_scored, n_all = result["scored"], len(result["sequences"]) + len(result["absent"]) + len(result["left_out"])
        for reading, values in result["mean"].items() or [("", {})]:
            how = f" ({_READINGS[reading]})" if reading else ""
            cells = [_cell(m, values[m]) if m in values else "-" for m in metrics]
            lines.append(f"| **{label}**{how} | {n_scored} of {n_all} sequences |" + "".join(f" {c} |" for c in cells))
        lines += _others(result, metrics)
    for row in paper_rows(name):
        lines.append(f"| {row.label} | |" + "".join(f" {row.values.get(m, '-')} |" for m in metrics))
    notes = [note for kind, note in _NOTES.items() if kind in DATASETS[name].measures or (kind == "run" and ran)]
    return "\n".join([*lines, "", *notes, ""])


def _has(results, metric):
    return any(metric in values for result in results.values() for values in result["mean"].values())


def _title(metric):
    return f"{metric} %" if _in_percent(metric) else metric


def _in_percent(metric):
    return metric in METRICS["masks"] or metric.startswith("delta")


def _cell(metric, value):
    return f"{100 * value:.1f}" if _in_percent(metric) else f"{value:.4f}"


def _others(result, metrics):
    """Rows of the other systems whose masks came with the clips: mean J over sequences."""
    scores: dict[str, list[float]] = {}
    for entry in result["sequences"].values():
        for name, value in entry.get("others", {}).items():
            scores.setdefault(name, []).append(value)
    empty = "".join(" - |" for m in metrics if m != "JM")
    return [
        f"| {name}, masks beside the clips (mean over sequences) | {len(values)} sequences | "
        f"{100 * sum(values) / len(values):.1f} |{empty}"
        for name, values in scores.items()
    ]


def words(label: str, result: Mapping[str, Any]) -> list[str]:
    """Lines for the terminal: how many were scored, and by name what was not or not wholly."""
    states = [entry["state"] for entry in result["sequences"].values()]
    counts = [f"{states.count(state)} {state}" for state in ("scored", "partial", "missing", "failed")]
    lines = [f"{label}: {', '.join(counts)}, {len(result['absent'])} absent"]
    for name, entry in result["sequences"].items():
        if entry["state"] not in _OPEN:
            lines.append(f"  {entry['state']}: {name} ({entry['reason']})")
    lines += [f"  absent: {name} (not in the data folder)" for name in result["absent"]]
    return lines + [f"  left out: {name} (not asked for)" for name in result["left_out"]]


def csv_text(result: Mapping[str, Any]) -> str:
    """A row per sequence: state, reason, frames, metrics, seconds."""
    metrics = list(dict.fromkeys(m for entry in result["sequences"].values() for m in entry.get("metrics", {})))
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["sequence", "state", "reason", "frames", "predicted", *metrics, "seconds"])
    for name, entry in result["sequences"].items():
        values = [entry.get("metrics", {}).get(m, "") for m in metrics]
        about = [entry[key] for key in ("state", "reason", "frames", "predicted")]
        writer.writerow([name, *about, *values, entry.get("seconds", "")])
    for name in result["absent"]:
        writer.writerow([name, "absent", "not in the data folder"])
    return stream.getvalue()
