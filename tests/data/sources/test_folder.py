"""Images from folders."""

import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit.data.sources.folder import images_from_folder
from keras_vit.data.sources.picture_files import image_files
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
    with pytest.warns(UserWarning, match=r"Left out of .*: 1 \.txt\."):
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
    with pytest.warns(UserWarning, match="1 of 41 image files .* are left out"):
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


def test_one_class_can_be_evaluated_and_not_trained_on(tmp_path):
    write_folder(tmp_path, 4, classes=1)
    data = keras_vit.load_data(tmp_path)
    assert data.class_names == ("digit_0",)
    model = keras_vit.ViT.from_variant("test", num_classes=1)
    with pytest.raises(ValueError, match="at least two classes"):
        keras_vit.train(model, data)


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


# What lies in real folders


PICTURE = Image.new("RGB", (30, 20), (200, 10, 10))


@pytest.mark.parametrize(
    ("ending", "format"),
    [
        *((".jfif", "JPEG"), (".jpe", "JPEG"), (".JPG", "JPEG"), (".mpo", "JPEG")),
        *((".apng", "PNG"), (".avif", "AVIF"), (".jp2", "JPEG2000"), (".tga", "TGA")),
        *((".ico", "ICO"), (".dib", "DIB"), (".pnm", "PPM"), (".pcx", "PCX")),
    ],
)
def test_each_format_that_is_read_is_found(tmp_path, ending, format):
    write_folder(tmp_path, 4)
    PICTURE.save(tmp_path / "digit_1" / f"one{ending}", format=format)
    assert len(images_from_folder(tmp_path)[0]["train"]) == 5


def test_other_files_are_counted_by_ending_with_what_reads_them(tmp_path):
    write_folder(tmp_path, 4)
    names = [f"{i}.heic" for i in range(3)] + ["a.nef", "b.xml", "c.xml", "plain"]
    for name in (*names, "Thumbs.db", ".DS_Store", "._0.jpg"):
        (tmp_path / "digit_0" / name).write_bytes(b"x")
    text = (
        r"3 \.heic \(pip install pillow-heif\), 2 \.xml, 1 \.nef \(convert them to "
        r"PNG or JPEG\), 1 files without an ending\.$"
    )
    with pytest.warns(UserWarning, match=text) as found:
        keras_vit.load_data(tmp_path)
    assert len(found) == 1


def test_links_to_folders_are_followed(tmp_path):
    photos = write_folder(tmp_path / "photos", 8)
    more = write_folder(tmp_path / "more", 20) / "digit_2"
    (photos / "digit_2" / "more").symlink_to(more)
    (photos / "linked").symlink_to(more)
    parts, names = images_from_folder(photos)
    assert names[-1] == "linked" and len(parts["train"]) == 8 + 5 + 5
    assert len(image_files([photos / "digit_2"])) == 2 + 5


@pytest.mark.parametrize("target", [".", "..", "../../photos", "../digit_1"])
def test_links_that_lead_back_are_refused(tmp_path, target):
    photos = write_folder(tmp_path / "photos", 8)
    (photos / "digit_0" / "again").symlink_to(target)
    (photos / "digit_1" / "other").symlink_to("../digit_0")
    for read in (images_from_folder, lambda folder: image_files([folder])):
        with pytest.raises(ValueError, match="which leads back to"):
            read(photos)


def test_a_dead_link_is_an_unreadable_file(tmp_path):
    write_folder(tmp_path, 8)
    (tmp_path / "digit_0" / "gone.png").symlink_to("nowhere.png")
    with pytest.raises(ValueError, match=r"gone\.png: .*No such file"):
        keras_vit.load_data(tmp_path)


def test_what_no_class_or_part_is_is_told(tmp_path):
    write_folder(tmp_path / "train", 40)
    write_folder(tmp_path / "holdout", 4)
    PICTURE.save(tmp_path / "train" / "one.png")
    with pytest.warns(UserWarning, match="1 pictures beside .* in train, the folder h"):
        keras_vit.load_data(tmp_path)


def test_two_folders_of_one_part_are_refused(tmp_path):
    for name in ("train", "val", "valid"):
        write_folder(tmp_path / name, 4)
    with pytest.raises(ValueError, match="must be one folder, received 'val' and"):
        keras_vit.load_data(tmp_path)


@pytest.mark.parametrize("inner", ["", "images"])
@pytest.mark.parametrize("part", ["test", "valid"])
def test_a_part_without_labels_is_told_and_left_out(tmp_path, inner, part):
    write_folder(tmp_path / "train", 40)
    (tmp_path / part / inner).mkdir(parents=True)
    for number in range(3):
        PICTURE.save(tmp_path / part / inner / f"{number}.jpg")
    with pytest.warns(UserWarning, match="its 3 pictures have no labels and are left"):
        data = keras_vit.load_data(tmp_path)
    assert len(data.train) + len(data.validation) == 40 and data.test is None


@pytest.mark.parametrize("ending", ["gif", "tif", "webp"])
def test_files_of_several_pictures_are_told(tmp_path, ending):
    write_folder(tmp_path, 4)
    more = [Image.new("RGB", (30, 20), "blue")]
    path = tmp_path / "digit_0" / f"several.{ending}"
    PICTURE.save(path, save_all=True, append_images=more)
    with pytest.warns(UserWarning, match=rf"1 files hold several .*several\.{ending}"):
        parts, _ = images_from_folder(tmp_path)
    assert len(parts["train"]) == 5


# One function decides


def float_tiff(path):
    Image.fromarray(np.zeros((4, 4), "float32")).save(path)


def eps(path):
    PICTURE.save(path, "EPS")


BAD = {
    "half.jpg": truncated_jpeg,
    "text.png": lambda path: path.write_text("no image"),
    "float.tif": float_tiff,
    "eps.jpg": eps,
}


@pytest.mark.parametrize("name", BAD)
def test_verification_refuses_what_reading_refuses(tmp_path, name):
    write_folder(tmp_path, 8)
    BAD[name](tmp_path / "digit_0" / name)
    with pytest.raises(ValueError, match=f"1 of 9 image files .*(?s:.)*{name}"):
        keras_vit.load_data(tmp_path)
    with pytest.raises((OSError, ValueError), match=name):
        keras_vit.Preprocessing(image_size=8)(tmp_path / "digit_0" / name)


def test_other_files_have_another_fingerprint(tmp_path):
    first = keras_vit.load_data(write_folder(tmp_path / "photos")).summary()
    assert keras_vit.load_data(tmp_path / "photos").summary() == first
    assert keras_vit.load_data(f"{tmp_path / 'photos'}/").summary() == first
    assert keras_vit.load_data(tmp_path / "photos", seed=1).summary() != first
    path = next((tmp_path / "photos" / "digit_0").iterdir())
    path.rename(path.with_name("renamed.png"))
    assert keras_vit.load_data(tmp_path / "photos").summary() != first
