"""Images from folders."""

import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit.data.folder import images_from_folder
from tests.pictures import truncated_jpeg, write_folder


def test_class_folders_become_classes_in_alphabetical_order(tmp_path):
    parts, names = images_from_folder(write_folder(tmp_path / "photos"))
    assert names == ("digit_0", "digit_1", "digit_2", "digit_3")
    assert list(parts) == ["train"]
    assert np.bincount(parts["train"].labels).tolist() == [10, 10, 10, 10]


@pytest.mark.parametrize("validation", ["val", "validation"])
def test_divided_folders_keep_their_parts(tmp_path, validation):
    write_folder(tmp_path / "train", 40)
    write_folder(tmp_path / validation, 8)
    write_folder(tmp_path / "test", 4)
    data = keras_vit.load_data(tmp_path)
    assert {name: len(part) for name, part in data.parts.items()} == {
        "train": 40,
        "validation": 8,
        "test": 4,
    }


def test_an_undivided_folder_is_divided(tmp_path):
    data = keras_vit.load_data(write_folder(tmp_path / "photos"))
    assert (len(data.train), len(data.validation)) == (32, 8) and data.test is None


def test_all_kinds_of_files_are_read(tmp_path):
    write_folder(tmp_path, 4)
    picture = Image.new("RGB", (30, 20), (200, 10, 10))
    (tmp_path / "digit_0" / "deeper").mkdir()
    picture.save(tmp_path / "digit_0" / "deeper" / "a.JPG")
    picture.convert("RGBA").save(tmp_path / "digit_0" / "b.PNG")
    picture.convert("P").save(tmp_path / "digit_1" / "c.gif")
    picture.convert("L").save(tmp_path / "digit_1" / "d.bmp")
    picture.save(tmp_path / "digit_2" / "e.webp")
    picture.save(tmp_path / "digit_2" / "f.tiff")
    (tmp_path / "digit_2" / "notes.txt").write_text("no image")
    (tmp_path / "digit_2" / ".hidden.png").write_text("no image")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    parts, names = images_from_folder(tmp_path)
    assert len(names) == 4 and len(parts["train"]) == 10
    batches = parts["train"].batches(keras_vit.Preprocessing(image_size=8), 16)
    assert batches[0][0].shape == (10, 8, 8, 3)


def test_all_unreadable_files_are_named_in_one_report(tmp_path):
    write_folder(tmp_path)
    truncated_jpeg(tmp_path / "digit_0" / "half.jpg")
    (tmp_path / "digit_1" / "text.png").write_text("no image")
    (tmp_path / "digit_2" / "empty.gif").write_bytes(b"")
    with pytest.raises(ValueError) as error:
        keras_vit.load_data(tmp_path)
    message = str(error.value)
    assert message.startswith("3 of 43 image files cannot be read")
    for name in ("half.jpg", "text.png", "empty.gif"):
        assert name in message
    assert "skip_unreadable=True" in message


def test_unreadable_files_can_be_skipped(tmp_path):
    write_folder(tmp_path)
    truncated_jpeg(tmp_path / "digit_0" / "half.jpg")
    data = keras_vit.load_data(tmp_path, skip_unreadable=True)
    assert len(data.train) + len(data.validation) == 40


def test_a_long_report_is_cut(tmp_path):
    write_folder(tmp_path)
    for number in range(25):
        (tmp_path / "digit_0" / f"bad_{number}.png").write_text("no image")
    with pytest.raises(ValueError, match="and 5 more"):
        keras_vit.load_data(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="No folder .*nowhere"):
        keras_vit.load_data(tmp_path / "nowhere")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="No images in"):
        keras_vit.load_data(tmp_path)


def test_pictures_without_class_folders_are_refused(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="one sub-folder per class"):
        keras_vit.load_data(tmp_path)


def test_one_class_is_refused(tmp_path):
    write_folder(tmp_path, 4, classes=1)
    with pytest.raises(ValueError, match="At least two classes"):
        keras_vit.load_data(tmp_path)


def test_a_class_without_images_is_refused(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "digit_9").mkdir()
    with pytest.raises(ValueError, match=r"received none for \['digit_9'\]"):
        keras_vit.load_data(tmp_path)


def test_a_class_that_training_lacks_is_refused(tmp_path):
    write_folder(tmp_path / "train", 40)
    write_folder(tmp_path / "val", 50, classes=5)
    with pytest.raises(ValueError, match=r"\['digit_4'\] only in"):
        keras_vit.load_data(tmp_path)


def test_a_part_without_images_is_refused(tmp_path):
    write_folder(tmp_path / "train")
    (tmp_path / "val" / "digit_0").mkdir(parents=True)
    with pytest.raises(ValueError, match="No images in .*val"):
        keras_vit.load_data(tmp_path)


def test_parts_may_be_capitalised(tmp_path):
    write_folder(tmp_path / "Train", 40)
    write_folder(tmp_path / "Val", 8)
    data = keras_vit.load_data(tmp_path)
    assert (len(data.train), len(data.validation)) == (40, 8)


def test_other_files_have_another_fingerprint(tmp_path):
    first = keras_vit.load_data(write_folder(tmp_path / "photos")).summary()
    assert keras_vit.load_data(tmp_path / "photos").summary() == first
    assert keras_vit.load_data(f"{tmp_path / 'photos'}/").summary() == first
    assert keras_vit.load_data(tmp_path / "photos", seed=1).summary() != first
    path = next((tmp_path / "photos" / "digit_0").iterdir())
    path.rename(path.with_name("renamed.png"))
    assert keras_vit.load_data(tmp_path / "photos").summary() != first
