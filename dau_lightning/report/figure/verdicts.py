"""Picture of an audit: where the unlearned model stands between the original and Retrain in each test."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dau_lightning.report.figure import Picture
from dau_lightning.report.figure.style import COLOURS, DAU, RETRAIN, STYLE, saved
from dau_lightning.storage.audit_file import FAIL, NOT_ENOUGH, PASS, figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTION = (
    "All tests of the audit on one scale: 0 is the original's figure, 1 is Retrain's. In the grey band, noise explains the "
    "distance to Retrain; a point at the edge lies beyond it. Tests that have a good direction, see docs/audit.md, also pass "
    "outside the band on that side. Tests in which the original has Retrain's figure are left out."
)
LEFT, RIGHT = -0.5, 2.0  # ends of the scale
MARKS: dict[str, dict[str, Any]] = {  # by verdict: each colour has a marker of its own, for print
    PASS: {"marker": "o", "color": COLOURS[5]},
    FAIL: {"marker": "X", "color": DAU},
    NOT_ENOUGH: {"marker": "s", "color": RETRAIN, "markerfacecolor": "white"},
}


def verdict_pictures(tests: Mapping[str, Any]) -> list[Picture]:
    """The picture; none if no test has figures of all three models.

    Args:
        tests: as in `audit.json`.
    """
    import matplotlib

    if not (places := {name: place for name, test in tests.items() if (place := placed(test))}):
        return []
    with matplotlib.rc_context(STYLE):
        return [Picture("audit", CAPTION, saved("audit", _figure(places, tests)))]


def placed(test: Mapping[str, Any]) -> tuple[float, float] | None:
    """The place of the unlearned model and the tolerance, on the scale from the original, 0, to Retrain, 1.

    >>> found = {"method": {"value": 55.0}, "retrain": {"value": 51.0}, "original": {"value": 70.0}}
    >>> placed({"standard": 50.0, "figures": found, "tolerance": 2.0})
    (0.75, 0.1)
    """
    method, retrain, original = figures(test).values()
    if method is None or retrain is None or original is None or original == retrain:
        return None
    return (original - method) / (original - retrain), (test["tolerance"] or 0.0) / abs(original - retrain)


def _figure(places: Mapping[str, tuple[float, float]], tests: Mapping[str, Any]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 1.1 + 0.26 * len(places)), layout="constrained")
    axis = figure.subplots()
    for row, (name, (place, tolerance)) in enumerate(places.items()):
        axis.barh(row, 2 * tolerance, 0.7, 1 - tolerance, color="#dddddd", zorder=0)
        within = min(max(place, LEFT), RIGHT)
        axis.plot([0, within], [row, row], color="#999999", linewidth=0.8, zorder=1)
        said = tests[name]["verdict"]
        axis.plot(within, row, linestyle="", markersize=7, zorder=2, clip_on=False, label=said, **MARKS[said])
    for end, style in ((0, ":"), (1, "--")):
        axis.axvline(end, color=RETRAIN, linestyle=style, linewidth=1, zorder=1)
    axis.set_yticks(range(len(places)), [name.replace("_", " ") for name in places])
    axis.set_xticks([LEFT, 0, 0.5, 1, 1.5, RIGHT], [f"{LEFT:g}", "original\n0", "0.5", "Retrain\n1", "1.5", f"{RIGHT:g}"])
    axis.set(xlim=(LEFT, RIGHT), ylim=(len(places) - 0.4, -0.6))
    axis.tick_params(axis="y", length=0)
    named = dict(zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    order = [said for said in MARKS if said in named]
    figure.legend([named[said] for said in order], order, loc="outside upper center", ncols=len(order))
    return figure
