"""Files of the authors of each family, against timm's own reading of them."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit.checkpoints.authors.families import FAMILIES, to_timm
from keras_vit.checkpoints.files.safetensors import SafetensorsFile, write_safetensors
from keras_vit.checkpoints.open import open_arrays
from keras_vit.checkpoints.resample import resize_matrix
from keras_vit.checkpoints.timm.config import config_from_timm, timm_table
from tests import first_party_peers as peers
from tests.contract import example, to_numpy
from tests.first_party_peers import CASES
from tests.peers import timm_call, timm_model

# Files of torchvision are read in tests/checkpoints/test_training_files.py.


@pytest.mark.parametrize("name", CASES)
def test_logits_equal_those_of_timm(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    with peers.small(case.architecture) as args:
        file = tmp_path / "weights.pth"
        model = peers.write(case, args, file)
        ours = keras_vit.load(file, architecture=case.architecture)
    images = example((2, *ours.input_shape[1:]))
    assert_close(ours(images), timm_call(model, images))
    assert ours.count_params() == ours.config.num_parameters
    found, _ = to_timm(open_arrays(file), ours.config)
    assert found.name == case.family


def assert_close(found: Any, expected: np.ndarray) -> None:
    found = keras.ops.convert_to_numpy(found)
    assert found.shape == expected.shape
    assert abs(found - expected).max() < 1e-4 * abs(expected).max()


@pytest.fixture
def row() -> Iterator[dict[str, Any]]:
    """Arguments of timm for a small "vit_small_patch16_224", as long as it is small."""
    with peers.small("vit_small_patch16_224") as args:
        yield args


def written(folder: Path, args: dict[str, Any], **changes: Any) -> Path:
    """Return a safetensors file without a config.json."""
    model = timm_model("vit_small_patch16_224", **args | changes)
    file = folder / "vit_small_p16_224.safetensors"
    write_safetensors(file, {k: v.cpu().numpy() for k, v in model.state_dict().items()})
    return file


def test_safetensors_are_read_too_with_tag_and_preprocessing(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    file = written(tmp_path, row)
    tag = timm_table()["vit_small_patch16_224"]["pretrained"][0]["tag"]
    for name in ("vit_small_patch16_224", f"vit_small_patch16_224.{tag}"):
        model = keras_vit.load(file, architecture=name, num_classes=3)
        assert model.preprocessing is not None
        assert model.preprocessing.image_size == model.config.image_size
        assert model.output_shape == (None, 3)
    with pytest.raises(ValueError, match="The tags of 'vit_small_patch16_224' are"):
        keras_vit.load(file, architecture="vit_small_patch16_224.none")


def test_positions_of_another_size_are_resampled_to_that_of_the_architecture(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    file = written(tmp_path, row, img_size=(80, 80))
    with pytest.warns(UserWarning, match=r"5 x 5 patches; they are resampled.*80, 80"):
        model = keras_vit.load(file, architecture="vit_small_patch16_224")
    assert model.config.image_size == row["img_size"]
    native = keras_vit.load(
        file, architecture="vit_small_patch16_224", image_size=(80, 80)
    )
    path = "patch_encoder/position_embedding/table"
    (table,) = (weight for weight in native.weights if weight.path == path)
    expected = SafetensorsFile(file)["pos_embed"]
    np.testing.assert_array_equal(to_numpy(table), expected)


def test_a_file_without_config_asks_for_the_architecture(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    file = written(tmp_path, row)
    with pytest.raises(ValueError, match="Pass architecture=.*vit_small_patch16_224"):
        keras_vit.load(file)
    with pytest.raises(ValueError, match="Close names: .*vit_small_patch16_224"):
        keras_vit.load(file, architecture="vit_small_patch16_22")


def test_weights_of_another_architecture_are_refused(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    file = written(tmp_path, row)
    with pytest.raises(ValueError, match="does not match the model"):
        keras_vit.load(file, architecture="vit_tiny_patch16_224")


def test_arrays_of_no_family_are_named(tmp_path: Path) -> None:
    file = tmp_path / "resnet.safetensors"
    write_safetensors(
        file, {"layer1.0.conv1.weight": np.zeros((1, 1, 1, 1), "float32")}
    )
    with pytest.raises(ValueError, match=r"DINOv3.*received arrays called \['layer1"):
        keras_vit.load(file, architecture="vit_small_patch16_224")


def test_biases_that_the_architecture_lacks_are_not_lost(tmp_path: Path) -> None:
    case = CASES["DINOv3 gated"]
    with peers.small(case.architecture) as args:
        peers.write(case, args, tmp_path / "weights.pth")
    config = config_from_timm("vit_small_plus_patch16_dinov3")
    with pytest.raises(ValueError, match="whose name ends in '_qkvb'"):
        to_timm(open_arrays(tmp_path / "weights.pth"), config)


def test_torchscript_is_refused_with_a_way_out(tmp_path: Path) -> None:
    file = tmp_path / "ViT-B-32.pt"
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"ViT-B-32/{name}", b"")
    with pytest.raises(ValueError, match=r"TorchScript archive.*torch\.jit\.load"):
        keras_vit.load(file, architecture="vit_base_patch32_clip_224")


def test_a_pickled_list_is_refused(tmp_path: Path) -> None:
    import torch

    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="a dictionary of tensors, received a list"):
        keras_vit.load(tmp_path / "list.pth", architecture="vit_small_patch16_224")


def test_each_family_has_a_case() -> None:
    found = {case.family for case in CASES.values()} | {"torchvision"}
    assert {family.name for family in FAMILIES} == found


def test_preprocessing_is_that_of_the_tag_or_of_all_of_them(
    tmp_path: Path, row: dict[str, Any]
) -> None:
    file = written(tmp_path, row)
    name = "vit_small_patch16_224"
    first = timm_table()[name]["pretrained"][0]
    other = {**first, "tag": "other", "mean": [0.1, 0.2, 0.3]}
    with patch.dict(timm_table()[name], {"pretrained": [first, other]}):
        assert keras_vit.load(file, architecture=name).preprocessing is None
        tagged = keras_vit.load(file, architecture=f"{name}.other")
        assert tagged.preprocessing is not None
        assert tagged.preprocessing.mean == (0.1, 0.2, 0.3)


def test_corners_stay_where_they_are() -> None:
    import torch

    for old, new in ((8, 5), (3, 7), (4, 1)):
        values = np.random.default_rng(0).normal(size=old)
        with torch.device("cpu"):
            expected = torch.nn.functional.interpolate(
                torch.from_numpy(values)[None, None], size=new, mode="linear",
                align_corners=True,
            )  # fmt: skip
        found = resize_matrix(old, new, "bilinear", align_corners=True) @ values
        np.testing.assert_allclose(found, expected.numpy()[0, 0], atol=1e-12)
