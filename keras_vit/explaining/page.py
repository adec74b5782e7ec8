"""Maps over pictures as one HTML file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from keras_vit.explaining.explanation import Explanation
from keras_vit.pages.document import check_page, write_document
from keras_vit.pages.thumbnails import SMALL, as_jpeg

_SIDE, _QUALITY = 448, 82  # of a picture: pixels, JPEG


def write_maps(
    found: Sequence[Explanation],
    names: Sequence[str],
    path: str | Path,
    *,
    model: str,
    overwrite: bool = False,
) -> Path:
    """Write a page with each picture and its map beside it; return its path.

    It asks no other server.

    Args:
        found: of `explain`, at least one.
        names: of the pictures, plain text, one for each.
        path: of the file, ends in ".html".
        model: name of the model, plain text.
        overwrite: whether a file that is there is replaced. Default False.

    Raises:
        FileExistsError: if there is a file that is not to be replaced.
        OSError: if it cannot be written.
        ValueError: if the name does not end in ".html".
    """
    path = check_page(path, overwrite)
    title = f"What {model} looks at"
    return write_document(path, title, _page(found, names, model))


def _page(
    found: Sequence[Explanation], names: Sequence[str], model: str
) -> Iterator[str]:
    from PIL import Image

    count, method = len(found), found[0].method.replace("_", " ")
    pictures = f"{count:,} picture{'s' * (count != 1)}"
    yield f'<header><p class="eyebrow">What it looks at</p><h1>{escape(model)}</h1>'
    yield f'<p class="lead">{pictures}, by {escape(method)}.</p></header>'
    yield '<main><section aria-labelledby="maps"><h2 id="maps">Maps</h2>'
    yield '<div class="maps">'
    for one, name in zip(found, names, strict=True):
        picture = Image.fromarray(one.picture)
        kind = "pixels" if max(picture.size) < SMALL else ""
        caption = ""
        if one.class_name is not None:
            caption = f"<b>{escape(one.class_name)}</b> "
        if one.probability is not None:
            caption += f"{one.probability:.0%} "
        yield (
            f'<figure><div class="images">'
            f'<img class="{kind}" src="{as_jpeg(picture, _SIDE, _QUALITY)}" '
            f'alt="The picture {escape(name)}" loading="lazy">'
            f'<img src="{as_jpeg(one.image(), _SIDE, _QUALITY)}" '
            f'alt="{escape(one.alt_text)}" loading="lazy"></div>'
            f'<figcaption>{caption}<span class="path">{escape(name)}</span>'
            "</figcaption></figure>"
        )
    yield "</div></section></main>"
