"""Fit a classifier on the features of a frozen model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from keras_vit.data.image_data import ImageData
from keras_vit.heads.feature_kinds import AUTO
from keras_vit.heads.search_head import HeadOptions, search_head
from keras_vit.model import ViT


def fit_head(
    model: ViT,
    data: ImageData,
    *,
    features: str = AUTO,
    class_weight: str | Mapping[str, float] | None = None,
    none_of_these: float | None = None,
    folds: int = 5,
    seed: int = 0,
    batch_size: int = 32,
    dtype: str = AUTO,
    cache: str | Path | None = AUTO,
    output: str | Path | None = None,
    overwrite: bool = False,
    verbose: bool = True,
) -> ViT:
    """Fit a classifier on what a trained model sees, which stays as it is.

    The model runs once over each training picture. Then a multinomial logistic
    regression is fitted on its features in seconds; the strength of its penalty, and
    what of the model it sees, is chosen by cross-validation on the training pictures.
    The features are kept on disk: another head on the same pictures costs nothing.
    Its logits are divided by the temperature that lets its probabilities say how often
    they are right on held-out pictures, see `calibrate`. Of data with several labels
    per picture each class is a yes or no of its own, the head ends with a sigmoid, and
    each class gets the threshold with the highest F1 on held-out pictures,
    `model.thresholds`.

    Args:
        model: a trained ViT with a pooling and preprocessing; a classifier that it has
            is replaced. It stays as it is.
        data: from `load_data`. The head is fitted on its training part alone.
        features: "auto" (default), or one kind: "pooled", what the model pools;
            "token", the class token; "token_mean", with the mean of the patches;
            "last_four", the class tokens of the last four blocks with that mean. "auto"
            takes "pooled" for a model with a classifier, and compares the other three
            for one without.
        class_weight: "balanced" to let each class count the same, or a weight for each
            class name; for one label per picture. Default None: each picture counts
            the same.
        none_of_these: share of pictures of the classes that may be rejected, such as
            0.05; the model then has one output more, "none of these", for pictures
            whose features are far from those of all classes, and the share is kept on
            held-out pictures. Default None: the model always names a class.
        folds: parts of the cross-validation, at least 2; no more than the pictures of
            the smallest class. Default 5.
        seed: of the parts. The same pictures and seed give the same head.
        batch_size: pictures per call of the model. Default 32.
        dtype: that features are computed in, a dtype policy. Default "auto": bfloat16
            where the processor has it and features stay what they are (cosine of at
            least 0.998 with float32 in the first batch), else as the model.
        cache: folder for the features. Default "auto": `features` in the folder of the
            environment variable KERAS_VIT_CACHE, else in ~/.cache/keras_vit. None keeps
            nothing, as with data whose pictures nobody has looked at, such as streams.
        output: folder for `model.keras`, `head.json` and `pictures.npz`, which says
            which pictures the head was fitted on. Default None: nothing is written.
        overwrite: whether a former run in `output` is replaced. Default False.
        verbose: whether progress and the comparison are printed. Default True.

    Returns:
        A copy of the model with the head, as `MLPHead`, and the class names of the
        data. It saves, exports, trains and explains as any other. With `none_of_these`
        the head is a `RejectingHead`, of distances that training would make wrong.

    Raises:
        FileExistsError: if `output` exists and is not to be replaced.
        ImportError: if SciPy is not installed.
        TypeError: if `model` is no ViT, or `data` is not from `load_data`.
        ValueError: if the model has no pooling or preprocessing, or an option is out of
            range.

    Example:
        ```python
        data = keras_vit.load_data("photos/")
        backbone = keras_vit.load("facebook/dinov2-small", image_size="preprocessing")
        model = keras_vit.fit_head(backbone, data, verbose=False)
        model.class_names  # ('cat', 'dog')
        ```

    Reference: arXiv:2304.07193, section 7 (linear evaluation); arXiv:2103.00020,
    section 3.2 (logistic regression by L-BFGS).
    """
    options = HeadOptions(
        features=features,
        class_weight=class_weight,
        none_of_these=none_of_these,
        folds=folds,
        seed=seed,
        batch_size=batch_size,
        dtype=dtype,
        cache=cache,
        output=output,
        overwrite=overwrite,
        verbose=verbose,
    )
    return search_head(model, data, options).model
