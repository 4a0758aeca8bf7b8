"""The text report of an evaluation."""

from typing import Any

_MAX_CONFUSIONS = 20


def as_text(found: dict[str, Any]) -> str:
    """Format the output of `figures.figures` as tables."""
    low, high = found["accuracy_interval"]
    lines = [
        f"pictures            {found['pictures']}",
        *(f"no answer           {count} × {code}" for code, count in found["failures"].items()),
        f"accuracy            {found['accuracy']:.3f} (19 times of 20 within {low:.3f} and {high:.3f})",
        f"among the best five {found['accuracy_of_best_five']:.3f}",
        f"time per picture    median {found['seconds']['median']:.3f} s, 95 % within {found['seconds']['p95']:.3f} s",
        "",
        *_labels(found["labels"]),
        "",
        *_confusion(found["confusion"]),
        "",
        *_calibration(found["calibration"]),
    ]
    return "\n".join(lines)


def _labels(labels: dict[str, dict[str, Any]]) -> list[str]:
    width = max(len("label"), *map(len, labels))
    lines = [f"{'label':{width}}  pictures  recall  precision"]
    for label, entry in labels.items():
        precision = "-" if entry["precision"] is None else f"{entry['precision']:.3f}"
        lines.append(f"{label:{width}}  {entry['pictures']:8}  {entry['recall']:6.3f}  {precision:>9}")
    return lines


def _confusion(confusion: list[dict[str, Any]]) -> list[str]:
    if not confusion:
        return ["confusion: none"]
    lines = ["confusion, most frequent first"]
    lines += [f"{entry['pictures']:6} × {entry['label']} → {entry['answer']}" for entry in confusion[:_MAX_CONFUSIONS]]
    more = len(confusion) - _MAX_CONFUSIONS
    return [*lines, f"       and {more} more kinds, which --json shows"] if more > 0 else lines


def _calibration(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["calibration: this analyzer says no confidence"]
    lines = [f"calibration: expected error {found['expected_error']:.3f}", "confidence  pictures  said   right"]
    for entry in found["bins"]:
        seen = f"{entry['pictures']:8}  {entry['confidence']:.3f}  {entry['accuracy']:.3f}"
        lines.append(f"{entry['from']:.1f} to {entry['to']:.1f}  {seen}")
    return lines
