"""What can be listed and built by name without network."""

import pytest

import keras_vit


def test_all_pretrained_models_are_listed():
    assert len(keras_vit.list_models()) == 416
    names = [info.name for info in keras_vit.list_models(pretrained=False)]
    assert len(names) == 416 + 18 and names == sorted(names)


def test_wildcards_family_and_licence_filter():
    found = keras_vit.list_models("*DINOv2*")
    assert found and all("dinov2" in info.name for info in found)
    assert {i.family for i in keras_vit.list_models(family="eva-02")} >= {"EVA-02"}
    assert {i.license for i in keras_vit.list_models(license="mit")} == {"mit"}
    assert keras_vit.list_models("nothing*") == []


def test_a_row_says_what_the_model_is():
    [info] = keras_vit.list_models("vit_base_patch16_224.augreg_in1k")
    assert info.parameters == 86_567_656 and info.num_classes == 1000
    assert info.image_size == (224, 224) and info.license == "apache-2.0"
    assert info.hub_id == "timm/vit_base_patch16_224.augreg_in1k"
    assert round(info.macs / 1e9, 1) == 17.6


def test_names_build_without_weights():
    model = keras_vit.load(
        "vit_tiny_patch16_224", pretrained=False, num_classes=3, image_size=32
    )
    assert model.output_shape == (None, 3) and model.config.hidden_dim == 192


@pytest.mark.parametrize(
    "name, message",
    [
        ("swin_tiny_patch4_window7_224", "not a plain ViT"),
        ("vit_bas_patch16_224", "vit_base_patch16_224"),
        ("vit_base_patch16_224.nonsense", "The tags of"),
        ("vit_large_patch14_224", "Nobody has published weights"),
    ],
)
def test_a_name_that_leads_nowhere_says_so(name, message):
    with pytest.raises(ValueError, match=message):
        keras_vit.load(name)


def test_a_missing_path_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        keras_vit.load(tmp_path / "nothing")


def test_the_best_models_under_a_size_come_first():
    found = keras_vit.list_models(best_under=25_000_000, license="apache")
    assert found[0].name == "deit3_small_patch16_384.fb_in22k_ft_in1k"
    assert found[0].top1 == 84.846  # as in timm's results-imagenet.csv
    top1 = [info.top1 for info in found]
    assert top1 == sorted(top1, reverse=True) and None not in top1
    assert max(info.parameters for info in found) <= 25_000_000
    assert keras_vit.list_models("*dinov2*", best_under=10**9) == []  # no classes
    with pytest.raises(ValueError, match="at least 1"):
        keras_vit.list_models(best_under=0)
