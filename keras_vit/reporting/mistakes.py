"""The pictures of a report: which ones are shown, and how."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from keras_vit.inference.picture_answers import PictureAnswers
from keras_vit.pages.parts import section, unfold
from keras_vit.reporting.album import Album
from keras_vit.reporting.class_scores import ConfusedPair
from keras_vit.reporting.wording import number_of, percent

_CONFIDENT, _UNSURE = 18, 12
_PAIRS, _OPEN_PAIRS, _OF_PAIR = 12, 3, 6


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Numbers of the pictures that a report shows.

    Args:
        confident: mistakes, the surest first.
        unsure: pictures whose two likeliest classes are the nearest to each other.
        pairs: of each pair of classes that is confused some pictures.
    """

    confident: list[int]
    unsure: list[int]
    pairs: list[tuple[ConfusedPair, list[int]]]

    def all(self) -> list[int]:
        """Return all of them, the most telling first."""
        of_pairs = [n for _, numbers in self.pairs for n in numbers]
        return list(dict.fromkeys([*self.confident, *of_pairs, *self.unsure]))


def shown_pictures(answers: PictureAnswers, pairs: Sequence[ConfusedPair]) -> Shown:
    """Choose the pictures that tell most of where a model errs."""
    confidences, rights = answers.confidences, answers.rights
    order = np.argsort(-confidences, kind="stable")
    wrong = [int(n) for n in order if not rights[n]]
    of_pairs = []
    for pair in pairs[:_PAIRS]:
        of_pair = (answers.labels == pair.label) & (answers.answers == pair.answer)
        numbers = [int(n) for n in order if of_pair[n]][:_OF_PAIR]
        of_pairs.append((pair, numbers))
    unsure = []
    if answers.probabilities.shape[1] > 1:
        highest = np.partition(answers.probabilities, -2, axis=1)[:, -2:]
        margins = highest[:, 1] - highest[:, 0]
        unsure = np.argsort(margins, kind="stable")[:_UNSURE].tolist()
    return Shown(confident=wrong[:_CONFIDENT], unsure=unsure, pairs=of_pairs)


def figures(answers: PictureAnswers, album: Album, numbers: Iterable[int]) -> str:
    """Return pictures with what their label is and what the model says."""
    return (
        '<div class="shots">'
        + "".join(_figure(answers, album, int(number)) for number in numbers)
        + "</div>"
    )


def _figure(answers: PictureAnswers, album: Album, number: int) -> str:
    label, answer = answers.named(number), answers.answered(number)
    sure = percent(float(answers.probabilities[number, answers.answers[number]]), 0)
    if answers.rights[number]:
        said = f"Picture of {label}, recognized with {sure}"
        caption = f'<b class="right">{escape(label)}</b> {sure}, right'
    else:
        said = f"Picture of {label}, taken for {answer} with {sure}"
        caption = (
            f'<b class="wrong">{escape(answer)}</b> {sure}'
            f'<span class="truth">label: {escape(label)}</span>'
        )
    return album.figure(number, said, caption)


def confident_section(answers: PictureAnswers, album: Album, shown: Shown) -> str:
    """Return the mistakes of which the model is the surest."""
    wrong = int((~answers.rights).sum())
    if not wrong:
        body = ['<p class="empty">No mistake: nothing to show.</p>']
        return section("mistakes", "Mistakes", body)
    lead = (
        "Start here: of a mistake that the model is sure of, it is often the label "
        "that is wrong, or the picture shows both."
    )
    body = [figures(answers, album, shown.confident)]
    if wrong > len(shown.confident):
        more = f"The {len(shown.confident)} surest of {wrong:,} mistakes."
        body.append(f'<p class="note">{more}</p>')
    return section("mistakes", "The most confident mistakes", body, lead)


def unsure_section(answers: PictureAnswers, album: Album, shown: Shown) -> str:
    """Return the pictures between two classes."""
    lead = (
        "The two likeliest classes are nearly as likely, whichever came first. More "
        "pictures of this kind teach the most."
    )
    body = [figures(answers, album, shown.unsure)]
    return section("least-sure", "The least sure pictures", body, lead)


def pairs_section(
    answers: PictureAnswers, album: Album, shown: Shown, num_pairs: int
) -> str:
    """Return pictures of each pair of classes that is confused."""
    names, body = answers.class_names, []
    for place, (pair, numbers) in enumerate(shown.pairs):
        title = (
            f"<b>{escape(names[pair.label])}</b> taken for "
            f"<b>{escape(names[pair.answer])}</b> "
            f'<span class="quiet">{pair.count:,}, {percent(pair.share)} of its '
            "pictures</span>"
        )
        inside = [figures(answers, album, numbers)]
        body.append(unfold(title, inside, is_open=place < _OPEN_PAIRS))
    rest = num_pairs - len(shown.pairs)
    if rest > 0:
        more = number_of(rest, "more pair", "more pairs")
        body.append(f'<p class="note">And {more} with fewer pictures.</p>')
    return section("pairs", "What is taken for what", body)
