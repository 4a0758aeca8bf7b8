"""Accuracy figures of answers, compared with labels by people."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

BINS = 10
BEST = 5
NO_ANSWER = "(no answer)"
# The quantile of the normal distribution for a 95 % interval.
_Z = 1.96


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer for one picture.

    Attributes:
        label: assigned by people.
        given: the analyzer's answers, most confident first; empty without an answer.
        confidence: of the first one, 0 to 1; None for an analyzer that reports none.
        seconds: from the hand-over to a worker to its answer.
        failure: the code of the failure, if there is no answer.
    """

    label: str
    given: tuple[str, ...]
    confidence: float | None
    seconds: float
    failure: str | None = None

    @property
    def best_answer(self) -> str:
        """The answer that counts."""
        return self.given[0] if self.given else NO_ANSWER

    @property
    def is_right(self) -> bool:
        """Whether the answer equals the label; no answer is wrong."""
        return self.best_answer == self.label


def figures(answers: Sequence[Answer]) -> dict[str, Any]:
    """Compute all reported figures, as plain values, of at least one answer."""
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
            {"label": label, "answer": answered, "pictures": count}
            for (label, answered), count in Counter(
                (answer.label, answer.best_answer) for answer in answers
            ).most_common()
            if label != answered
        ],
        "calibration": calibration(answers),
        "seconds": _seconds(answers),
    }


def interval(right: int, count: int) -> tuple[float, float]:
    """Return the bounds of the 95 % confidence interval of an accuracy.

    Source: Wilson 1927, the score interval.
    """
    share, spread = right / count, _Z**2 / count
    middle = share + spread / 2
    half = _Z * (share * (1 - share) / count + spread / count / 4) ** 0.5
    return (middle - half) / (1 + spread), (middle + half) / (1 + spread)


def _by_label(answers: Sequence[Answer]) -> dict[str, dict[str, Any]]:
    expected = Counter(answer.label for answer in answers)
    answered = Counter(answer.best_answer for answer in answers)
    right = Counter(answer.label for answer in answers if answer.is_right)
    return {
        label: {
            "pictures": expected[label],
            "recall": right[label] / expected[label],
            "precision": right[label] / answered[label] if answered[label] else None,
        }
        for label in sorted(expected)
    }


def calibration(answers: Sequence[Answer]) -> dict[str, Any] | None:
    """Compare confidence with accuracy: 0.8 should be right 8 times out of 10; None if no answer has a confidence.

    Source: Guo et al. 2017, expected calibration error, ten bins of equal width.
    """
    judged = [(_bin_of(answer.confidence), answer) for answer in answers if answer.confidence is not None]
    if not judged:
        return None
    bins = []
    for index, group in groupby(sorted(judged, key=lambda pair: pair[0]), key=lambda pair: pair[0]):
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
    error = sum(bucket["pictures"] * abs(bucket["confidence"] - bucket["accuracy"]) for bucket in bins) / len(judged)
    return {"expected_error": error, "bins": bins}


def _bin_of(confidence: float) -> int:
    return min(int(confidence * BINS), BINS - 1)


def _seconds(answers: Sequence[Answer]) -> dict[str, float]:
    seconds = sorted(answer.seconds for answer in answers)
    return {"median": statistics.median(seconds), "p95": seconds[max(0, -(-len(seconds) * 95 // 100) - 1)]}
