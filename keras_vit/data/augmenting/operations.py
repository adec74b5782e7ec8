"""Changes of a picture that RandAugment, AugMix and three-augment choose from.

One row per operation: what it does with Pillow, and which strength a magnitude means.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from numpy.random import Generator

if TYPE_CHECKING:
    from PIL import Image

# A magnitude is a share of this; AugReg trains with up to the double.
MAGNITUDES = 10.0
MAX_MAGNITUDE = 20.0

# (magnitude as a share, 1 or -1, share of the side that a shift may reach) -> strength
Strength = Callable[[float, int, float], float]
# (picture, strength) -> what Pillow's affine transform takes
Matrix = Callable[[Any, float], tuple[float, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Paint:
    """What an operation needs to know besides its strength.

    Args:
        fill: value of each channel, bytes, where a moved picture leaves a gap.
        resample: how moved pixels are read between the old ones.
        place: centre of what is cut out, shares of width and height, [0, 1).
            Default: the middle.
    """

    fill: tuple[int, ...]
    resample: Image.Resampling
    place: tuple[float, float] = (0.5, 0.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One change of a picture.

    Args:
        apply: from (picture, strength, paint) to a picture of the same size and mode.
        strength: from a magnitude to a strength. Default: of no use.
        increasing: the same, where a higher magnitude must change more. Default: as
            `strength`.
        moves: whether pixels move, so that transparency moves with them. Default False.
        is_placed: whether it needs `Paint.place`. Default False.
    """

    apply: Callable[[Image.Image, float, Paint], Image.Image]
    strength: Strength = lambda share, sign, shift: 0.0
    increasing: Strength | None = None
    moves: bool = False
    is_placed: bool = False

    def __call__(self, image: Any, strength: float, paint: Paint) -> Any:
        """Return the changed picture; transparency stays where its pixels are."""
        if image.mode != "RGBA" or self.moves:
            return self.apply(image, strength, paint)
        changed = self.apply(image.convert("RGB"), strength, paint)
        changed.putalpha(image.getchannel("A"))
        return changed

    def strength_of(
        self, magnitude: float, sign: int, *, shift: float, increasing: bool
    ) -> float:
        """Return the strength that a magnitude means.

        Args:
            magnitude: 0 to 10, or more.
            sign: 1 or -1: to which side, where there are two.
            shift: share of the side that a shift reaches at magnitude 10.
            increasing: whether a higher magnitude must change more.
        """
        strength = (increasing and self.increasing) or self.strength
        return strength(magnitude / MAGNITUDES, sign, shift)

    def apply_at(
        self,
        magnitude: float,
        image: Any,
        paint: Paint,
        rng: Generator,
        *,
        shift: float,
        increasing: bool = True,
    ) -> Any:
        """Return the picture changed at a magnitude, to a side and at a place drawn.

        Args:
            magnitude: as for `strength_of`.
            image: the picture.
            paint: all but the place.
            rng: decides side and place.
            shift: as for `strength_of`.
            increasing: as for `strength_of`. Default True.
        """
        sign = 1 if rng.random() < 0.5 else -1
        strength = self.strength_of(magnitude, sign, shift=shift, increasing=increasing)
        if self.is_placed:
            paint = replace(paint, place=tuple(rng.random(2)))
        return self(image, strength, paint)


def _to_a_side(highest: float) -> Strength:
    return lambda share, sign, shift: sign * share * highest


def _affine(matrix: Matrix) -> Callable[..., Any]:
    def apply(image: Any, strength: float, paint: Paint) -> Any:
        from PIL import Image

        return image.transform(
            image.size,
            Image.Transform.AFFINE,
            matrix(image, strength),
            resample=paint.resample,
            fillcolor=_fill(image, paint),
        )

    return apply


def _shear(matrix: Matrix) -> Operation:
    return Operation(apply=_affine(matrix), strength=_to_a_side(0.3), moves=True)


def _shift(matrix: Matrix) -> Operation:
    return Operation(
        apply=_affine(matrix),
        strength=lambda share, sign, shift: sign * share * shift,
        moves=True,
    )


def _fill(image: Any, paint: Paint) -> int | tuple[int, ...]:
    return paint.fill[0] if image.mode == "L" else paint.fill


def _rotate(image: Any, degrees: float, paint: Paint) -> Any:
    fill = _fill(image, paint)
    return image.rotate(degrees, resample=paint.resample, fillcolor=fill)


def _solarize_add(image: Any, add: float, paint: Paint) -> Any:
    table = [min(255, i + int(add)) if i < 128 else i for i in range(256)]
    return image.point(table * len(image.getbands()))


def _posterize(image: Any, bits: float, paint: Paint) -> Any:
    # With 0 bits black, as in Pillow below 13, which refuses it.
    mask = 256 - 2 ** (8 - min(max(int(bits), 0), 8))
    return image.point([i & mask for i in range(256)] * len(image.getbands()))


def _image_ops(name: str, has_strength: bool = False) -> Callable[..., Any]:
    def apply(image: Any, strength: float, paint: Paint) -> Any:
        from PIL import ImageOps

        function = getattr(ImageOps, name)
        return function(image, strength) if has_strength else function(image)

    return apply


def _enhance(name: str) -> Callable[..., Any]:
    def apply(image: Any, factor: float, paint: Paint) -> Any:
        from PIL import ImageEnhance

        return getattr(ImageEnhance, name)(image).enhance(factor)

    return apply


def _cut_out(image: Any, half: float, paint: Paint) -> Any:
    sides = zip(image.size, paint.place, strict=True)
    edges = [
        (max(0, int(place * side) - reach), min(side, int(place * side) + reach))
        for side, place in sides
        for reach in [round(half * side)]
    ]
    (left, right), (top, bottom) = edges
    changed = image.copy()
    changed.paste(_fill(image, paint), (left, top, right, bottom))
    return changed


def _grey(image: Any, strength: float, paint: Paint) -> Any:
    return image.convert("L").convert(image.mode)


def _blur(image: Any, radius: float, paint: Paint) -> Any:
    from PIL import ImageFilter

    return image.filter(ImageFilter.GaussianBlur(radius))


def _enhancement(name: str) -> Operation:
    return Operation(
        apply=_enhance(name),
        strength=lambda share, sign, shift: share * 1.8 + 0.1,
        increasing=lambda share, sign, shift: max(0.1, 1.0 + sign * share * 0.9),
    )


OPERATIONS: dict[str, Operation] = {
    "auto_contrast": Operation(apply=_image_ops("autocontrast")),
    "equalize": Operation(apply=_image_ops("equalize")),
    "invert": Operation(apply=_image_ops("invert")),
    "rotate": Operation(apply=_rotate, strength=_to_a_side(30.0), moves=True),
    "posterize": Operation(
        apply=_posterize,
        strength=lambda share, sign, shift: int(share * 4),
        increasing=lambda share, sign, shift: 4 - int(share * 4),
    ),
    "solarize": Operation(
        apply=_image_ops("solarize", has_strength=True),
        strength=lambda share, sign, shift: min(256, int(share * 256)),
        increasing=lambda share, sign, shift: 256 - min(256, int(share * 256)),
    ),
    "solarize_add": Operation(
        apply=_solarize_add, strength=lambda share, sign, shift: int(share * 110)
    ),
    "color": _enhancement("Color"),
    "contrast": _enhancement("Contrast"),
    "brightness": _enhancement("Brightness"),
    "sharpness": _enhancement("Sharpness"),
    "shear_x": _shear(lambda image, factor: (1, factor, 0, 0, 1, 0)),
    "shear_y": _shear(lambda image, factor: (1, 0, 0, factor, 1, 0)),
    "translate_x": _shift(lambda image, part: (1, 0, part * image.width, 0, 1, 0)),
    "translate_y": _shift(lambda image, part: (1, 0, 0, 0, 1, part * image.height)),
    # Half a side: 40 of 224 pixels at magnitude 10, big_vision's cutout_const.
    "cut_out": Operation(
        apply=_cut_out,
        strength=lambda share, sign, shift: share * 40 / 224,
        is_placed=True,
    ),
    "grey": Operation(apply=_grey),
    "blur": Operation(apply=_blur),
}
