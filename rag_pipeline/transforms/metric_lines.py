"""Figures as the lines that Prometheus reads from a file.

Belongs here: the form of a metric, of its labels and values.
Does not belong here: which figures there are (`refresh/run_metrics.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# What the form of text wants to be written otherwise inside of quotes.
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Metric:
    """One gauge with its values.

    Attributes:
        name: With its unit, as Prometheus names things.
        means: One sentence.
        values: By labels; a label is a name and a value.
    """

    name: str
    means: str
    values: Mapping[tuple[tuple[str, str], ...], float]


def metric_text(metrics: Iterable[Metric]) -> str:
    """The text of a file for Prometheus; a metric without values is left out."""
    lines: list[str] = []
    for metric in metrics:
        if metric.values:
            lines += [f"# HELP {metric.name} {metric.means}", f"# TYPE {metric.name} gauge"]
        lines += [f"{metric.name}{_labels(labels)} {value!r}" for labels, value in metric.values.items()]
    return "".join(f"{line}\n" for line in lines)


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    said = ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in labels)
    return f"{{{said}}}" if said else ""
