"""How good answers are, against what people say."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

BINS = 10
BEST = 5
NO_ANSWER = "(no answer)"
# Of the normal distribution, for an interval that holds the true value 19 times of 20.
_Z = 1.96


@dataclass(frozen=True, slots=True)
class Answer:
    """What one picture got.

    Attributes:
        label: what people say.
        given: what the analyzer says, the most certain first; empty without an answer.
        confidence: of the first of them, 0 to 1; None for an analyzer that says none.
        seconds: from the hand-over to a worker to its answer.
        failure: the code for which there is no answer.
    """

    label: str
    given: tuple[str, ...]
    confidence: float | None
    seconds: float
    failure: str | None = None

    @property
    def said(self) -> str:
        """What counts as the answer."""
        return self.given[0] if self.given else NO_ANSWER

    @property
    def is_right(self) -> bool:
        """Whether that is what people say; no answer is wrong."""
        return self.said == self.label


def figures(answers: Sequence[Answer]) -> dict[str, Any]:
    """Compute everything that is reported, as plain values, of at least one answer."""
    right = sum(answer.is_right for answer in answers)
    among_best = sum(answer.label in answer.given[:BEST] for answer in answers)
    return {
        "pictures": len(answers),
        "failures": dict(Counter(answer.failure for answer in answers if answer.failure)),
        "accuracy": right / len(answers),
        "accuracy_interval": interval(right, len(answers)),
        "accuracy_of_best_five": among_best / len(answers),
        "labels": _by_label(answers),
        "confusion": [
            {"label": label, "answer": said, "pictures": count}
            for (label, said), count in Counter((answer.label, answer.said) for answer in answers).most_common()
            if label != said
        ],
        "calibration": calibration(answers),
        "seconds": _seconds(answers),
    }


def interval(right: int, count: int) -> tuple[float, float]:
    """Return the bounds that hold the accuracy of all such pictures 19 times of 20.

    Source: Wilson 1927, the score interval.
    """
    share, spread = right / count, _Z**2 / count
    middle = share + spread / 2
    half = _Z * (share * (1 - share) / count + spread / count / 4) ** 0.5
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)


def _by_label(answers: Sequence[Answer]) -> dict[str, dict[str, Any]]:
    are = Counter(answer.label for answer in answers)
    said = Counter(answer.said for answer in answers)
    right = Counter(answer.label for answer in answers if answer.is_right)
    return {
        label: {
            "pictures": are[label],
            "recall": right[label] / are[label],
            "precision": right[label] / said[label] if said[label] else None,
        }
        for label in sorted(are)
    }


def calibration(answers: Sequence[Answer]) -> dict[str, Any] | None:
    """Compare confidence with accuracy: 0.8 should be right 8 times of 10; None where no answer has a confidence.

    Source: Guo et al. 2017, expected calibration error, ten bins of equal width.
    """
    judged = [(_bin_of(answer.confidence), answer) for answer in answers if answer.confidence is not None]
    if not judged:
        return None
    bins = []
    for index, group in groupby(sorted(judged, key=lambda each: each[0]), key=lambda each: each[0]):
        members = [answer for _, answer in group]
        bins.append(
            {
                "from": index / BINS,
                "to": (index + 1) / BINS,
                "pictures": len(members),
                "confidence": statistics.fmean(answer.confidence or 0.0 for answer in members),
                "accuracy": statistics.fmean(answer.is_right for answer in members),
            }
        )
    error = sum(each["pictures"] * abs(each["confidence"] - each["accuracy"]) for each in bins) / len(judged)
    return {"expected_error": error, "bins": bins}


def _bin_of(confidence: float) -> int:
    return min(int(confidence * BINS), BINS - 1)


def _seconds(answers: Sequence[Answer]) -> dict[str, float]:
    seconds = sorted(answer.seconds for answer in answers)
    return {"median": statistics.median(seconds), "p95": seconds[max(0, -(-len(seconds) * 95 // 100) - 1)]}
