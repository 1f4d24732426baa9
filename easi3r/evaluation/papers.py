"""What the papers say, to be printed beside ours. Source: specification of the evaluation, section 5.

[P]: read at the source, [S]: second-hand. A figure that was not found is left out.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperRow:
    """A row of a paper's table, as printed there; J, F and delta in percent."""

    label: str
    values: dict[str, str]  # metric -> figure


_DAVIS = "JM JR FM FR"
_CAMERAS = "ATE RTE RRE"
_POINTS = "acc_mean acc_median comp_mean comp_median dist_mean dist_median"
_OWN = "MonST3R, its own paper [S]"
_HAND = "in VGGT4D's hand [S]"
# set: metrics, then a line per row: label: figures, - where not found
_ROWS = {
    "davis16": f"""{_DAVIS}
        DUSt3R, flow [S]: 42.1
        MonST3R, flow [P]: 40.9 42.2
        DAS3R [P]: 41.6 39.0
        Easi3R dust3r [P]: 53.1 60.4
        Easi3R monst3r [P]: 57.7 71.6
        MonST3R, flow, SAM 2 [P]: 64.3 73.3
        DAS3R, SAM 2 [P]: 54.2 55.8
        Easi3R dust3r, SAM 2 [P]: 67.9 71.4
        Easi3R monst3r, SAM 2 [P]: 70.7 79.9
        VGGT4D, {_HAND}: 62.1 76.8 56.0 67.5
        Easi3R monst3r, {_HAND}: 54.9 68.0 45.3 47.3
        GeoMotion, SAM 2 [S]: 84.5""",
    "davis17": f"""{_DAVIS}
        DUSt3R, flow [S]: 35.2
        MonST3R, flow [P]: 38.6 38.2
        DAS3R [P]: 43.5 42.1
        Easi3R dust3r [P]: 49.0 56.4
        Easi3R monst3r [P]: 56.5 68.6
        MonST3R, flow, SAM 2 [P]: 56.4 59.6
        DAS3R, SAM 2 [P]: 57.4 61.3
        Easi3R dust3r, SAM 2 [P]: 60.1 65.3
        Easi3R monst3r, SAM 2 [P]: 67.9 76.1
        VGGT4D, {_HAND}: 56.5 65.6 51.1 56.9
        Easi3R monst3r, {_HAND}: 54.8 66.2 44.1 42.4
        GeoMotion, SAM 2 [S]: 81.1""",
    "davis-all": f"""{_DAVIS}
        DUSt3R, flow [S]: 35.9
        MonST3R, flow [P]: 36.7 34.3
        DAS3R [P]: 43.4 38.7
        Easi3R dust3r [P]: 44.5 49.6
        Easi3R monst3r [P]: 53.0 63.4
        DUSt3R, flow, SAM 2 [S]: 47.6
        MonST3R, flow, SAM 2 [P]: 51.9 54.1
        DAS3R, SAM 2 [P]: 53.9 54.8
        Easi3R dust3r, SAM 2 [P]: 54.7 60.6
        Easi3R monst3r, SAM 2 [P]: 63.1 72.6
        VGGT4D, {_HAND}: 50.8 55.6 47.0 46.4
        Easi3R monst3r, {_HAND}: 51.6 63.1 41.0 38.5
        GeoMotion, SAM 2 [S]: 74.8""",
    "dycheck": f"""{_CAMERAS} {_POINTS}
        DUSt3R, no flow [P]: .035 .030 2.323
        DUSt3R, flow [P]: .029 .021 1.875 .738 .599 1.669 .678 .313 .196
        Easi3R dust3r, no flow [P]: .029 .025 1.774
        Easi3R dust3r, flow [P]: .021 .014 1.092 .703 .589 1.474 .586 .301 .186
        MonST3R, no flow [P]: .040 .034 1.820
        MonST3R, flow [P]: .033 .024 1.501 .851 .689 1.734 .958 .353 .254
        Easi3R monst3r, no flow [P]: .038 .032 1.736
        Easi3R monst3r, flow [P]: .030 .021 1.390 .834 .643 1.661 .916 .350 .255
        CUT3R [P]: .029 .020 1.383 .458 .342 1.633 - .326
        DAS3R, flow [P]: .033 .022 1.467""",
    "adt": f"""{_CAMERAS}
        DUSt3R, no flow [P]: .042 .025 1.212
        DUSt3R, flow [P]: .076 .030 .974
        Easi3R dust3r, no flow [P]: .040 .021 .880
        Easi3R dust3r, flow [P]: .042 .015 .655
        MonST3R, no flow [P]: .045 .024 .759
        MonST3R, flow [P]: .055 .025 .776
        Easi3R monst3r, no flow [P]: .045 .024 .715
        Easi3R monst3r, flow [P]: .039 .016 .640
        CUT3R [P]: .084 .025 .490
        DAS3R, flow [P]: .040 .017 .685""",
    "tum": f"""{_CAMERAS}
        DUSt3R, no flow [P]: .100 .087 2.692
        DUSt3R, flow [P]: .071 .067 3.711
        Easi3R dust3r, no flow [P]: .093 .076 2.366
        Easi3R dust3r, flow [P]: .070 .061 2.361
        MonST3R, no flow [P]: .183 .148 6.985
        MonST3R, flow [P]: .170 .155 6.455
        Easi3R monst3r, no flow [P]: .184 .149 6.311
        Easi3R monst3r, flow [P]: .168 .150 5.925
        CUT3R [P]: .079 .088 10.41
        DAS3R, flow [P]: .173 .157 8.341
        VGGT4D, frames not stated, {_HAND}: .016 .020 .612
        Easi3R monst3r, frames not stated, {_HAND}: .133 .120 4.366""",
    "tum90": f"""{_CAMERAS}
        DUSt3R, aligned [P]: .083 .017 3.567
        MonST3R, aligned [P]: .098 .019 .935
        CUT3R [P]: .046 .015 .473
        Easi3R, network not stated [S]: .105 .022 1.064""",
    "sintel": f"""{_CAMERAS}
        DUSt3R, aligned [P]: .417 .250 5.796
        MonST3R, aligned [P]: .111 .044 .869
        CUT3R [P]: .213 .066 .621
        Easi3R, network not stated [S]: .110 .042 .758
        VGGT4D, {_HAND}: .076 .043 .273
        Easi3R monst3r, {_HAND}: .109 .051 .277""",
    "scannet": f"""{_CAMERAS}
        DUSt3R, aligned [P]: .081 .028 .784
        MonST3R, aligned [P]: .077 .018 .529
        CUT3R [P]: .099 .022 .600
        Easi3R, network not stated [S]: .061 - .525""",
    "sintel-depth": f"""AbsRel_scale delta_scale AbsRel_shift
        DUSt3R, aligned [S]: .656 45.2
        MonST3R, aligned [S]: .378 55.8
        {_OWN}: - - .335
        CUT3R [S]: .421 47.9""",
    "bonn": f"""AbsRel_scale delta_scale AbsRel_shift
        DUSt3R, aligned [S]: .155 83.3
        MonST3R, aligned [S]: .067 96.3
        {_OWN}: - - .063
        CUT3R [S]: .078 93.7""",
}


def paper_rows(name: str) -> list[PaperRow]:
    """The papers' rows of a data set, in their order."""
    header, *lines = _ROWS.get(name, "").splitlines() or [""]
    found = []
    for line in lines:
        label, _, figures = line.strip().rpartition(": ")
        found.append(PaperRow(label, {m: f for m, f in zip(header.split(), figures.split()) if f != "-"}))
    return found
