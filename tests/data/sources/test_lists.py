"""Lists of pictures: CSV, TSV, JSON lines, Parquet and tables."""

from __future__ import annotations

import csv
import json
import warnings
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

import keras_vit
from keras_vit import Preprocessing
from keras_vit.data.sources import tables
from tests.one_backend import ONE_BACKEND

pytestmark = ONE_BACKEND

NAMES = ("cat", "dog", "owl")


def write_pictures(folder, count=12, ending=".png"):
    """Write `img/NUMBER.png`, each of another grey, and return rows of a list."""
    rows = []
    for number in range(count):
        path = folder / "img" / f"{number:03d}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 10 + number).save(path)
        rows.append({"path": f"img/{number:03d}{ending}", "label": NAMES[number % 3]})
    return rows


def write_csv(path, rows, delimiter=","):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def pairs(part):
    """Return the grey of each picture with its label."""
    greys = [int(np.asarray(Image.open(path))[0, 0]) for path in part.pictures()]
    return dict(zip(greys, part.labels.tolist(), strict=True))


EXPECTED = {10 + number: number % 3 for number in range(12)}


def parquet(folder, rows):
    pyarrow = pytest.importorskip("pyarrow.parquet")
    import pyarrow as pa

    pyarrow.write_table(pa.Table.from_pylist(rows), folder / "list.parquet")
    return folder / "list.parquet"


def source_of(kind, folder, rows):
    """Return one list in one of the kinds that are read, and its options."""
    if kind in ("pandas", "polars", "pyarrow"):
        library = pytest.importorskip(kind)
        if kind == "pyarrow":
            return library.Table.from_pylist(rows), {"image_dir": folder}
        frame = library.DataFrame(rows)
        if kind == "pandas":
            frame = frame.sample(frac=1, random_state=1)
        return frame, {"image_dir": folder}
    if kind == "parquet":
        return parquet(folder, rows), {}
    if kind == "jsonl":
        lines = "\n".join(json.dumps(row) for row in rows) + "\n\n"
        (folder / "list.jsonl").write_text(lines)
        return folder / "list.jsonl", {}
    if kind == "excel":  # As spreadsheets write it where the comma is in numbers.
        path = write_csv(folder / "list.csv", rows, ";")
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        return path, {}
    delimiter = "\t" if kind == "tsv" else ","
    return write_csv(folder / f"list.{kind}", rows, delimiter), {}


KINDS = ["csv", "tsv", "jsonl", "parquet", "excel", "pandas", "polars", "pyarrow"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_pairs_each_picture_with_its_label(kind, tmp_path):
    source, options = source_of(kind, tmp_path, write_pictures(tmp_path))
    data = keras_vit.load_data(source, validation_fraction=0, **options)
    assert data.class_names == NAMES
    assert pairs(data.train) == EXPECTED


def test_columns_folder_and_ending_are_named(tmp_path):
    rows = [
        {"id": row["path"][4:-4], "species": row["label"]}
        for row in write_pictures(tmp_path / "train", ending=".jpg")
    ]
    path = write_csv(tmp_path / "train.csv", rows)
    data = keras_vit.load_data(
        path,
        columns={"path": "id", "label": "species"},
        image_dir=tmp_path / "train" / "img",
        ending="jpg",
        validation_fraction=0,
    )
    assert data.train.labels.tolist() == [number % 3 for number in range(12)]
    names = [path.name for path in data.train.pictures()]
    assert names == [f"{number:03d}.jpg" for number in range(12)]


def test_numbers_are_classes_in_the_order_of_their_values(tmp_path):
    rows = write_pictures(tmp_path)
    for number, row in enumerate(rows):
        row["label"] = [10, 9, 2][number % 3]
    data = keras_vit.load_data(write_csv(tmp_path / "a.csv", rows))
    assert data.class_names == ("2", "9", "10")
    given = keras_vit.load_data(tmp_path / "a.csv", class_names=["10", "9", "2"])
    assert given.class_names == ("10", "9", "2")


def test_class_names_may_be_given_for_numbers(tmp_path):
    rows = write_pictures(tmp_path)
    for number, row in enumerate(rows):
        row["label"] = number % 3
    path = write_csv(tmp_path / "a.csv", rows)
    data = keras_vit.load_data(path, class_names=NAMES, validation_fraction=0)
    assert data.class_names == NAMES and pairs(data.train) == EXPECTED
    with pytest.raises(ValueError, match="one of class_names .* received 2 in"):
        keras_vit.load_data(path, class_names=NAMES[:2])


def test_parts_come_from_the_column_split(tmp_path):
    rows = write_pictures(tmp_path)
    for number, row in enumerate(rows):
        row["split"] = ["train", "Valid", "train", "test"][number // 3]
    data = keras_vit.load_data(write_csv(tmp_path / "a.csv", rows))
    sizes = {name: len(part) for name, part in data.parts.items()}
    assert sizes == {"train": 6, "validation": 3, "test": 3}
    whole = keras_vit.load_data(
        tmp_path / "a.csv", columns={"split": None}, validation_fraction=0
    )
    assert len(whole.train) == 12


@pytest.mark.parametrize("engine", ["threads", "tf.data"])
def test_weights_reach_the_loss(engine, tmp_path):
    rows = write_pictures(tmp_path)
    for number, row in enumerate(rows):
        row["weight"] = 0.5 + number
    data = keras_vit.load_data(write_csv(tmp_path / "a.csv", rows))
    how = {"preprocessing": Preprocessing(image_size=8), "batch_size": 4}
    batches = data.train.batches(training=True, engine=engine, **how)
    for images, labels, weights in batches:
        grey = np.rint((np.asarray(images)[:, 0, 0, 0] + 1) * 127.5) - 10
        np.testing.assert_allclose(np.asarray(weights), 0.5 + grey)
        np.testing.assert_array_equal(np.asarray(labels), grey % 3)
    assert len(data.validation.batches(**how)[0]) == 2
    balanced = data.train.batches(training=True, class_balance="weights", **how)
    assert balanced[0][2].sum() > 0


def test_weights_are_factors_of_the_loss(tmp_path):
    losses = []
    for weight in (1, 3):
        rows = [{**row, "weight": weight} for row in write_pictures(tmp_path)]
        data = keras_vit.load_data(write_csv(tmp_path / "a.csv", rows))
        keras.utils.set_random_seed(0)
        model = keras_vit.ViT.from_variant("test", num_classes=3)
        trained = keras_vit.TrainingModel(model)
        trained.compile(keras.optimizers.SGD(0.0), keras_vit.training.CrossEntropy())
        batches = data.train.batches(Preprocessing(image_size=32), 4, training=True)
        history: Any = trained.fit(batches, epochs=1, verbose=0)
        losses += history.history["loss"]
    assert losses[1] == pytest.approx(3 * losses[0], rel=1e-5)


def test_weights_are_part_of_what_the_data_is(tmp_path):
    rows = write_pictures(tmp_path)
    first = [{**row, "weight": 1} for row in rows]
    other = [{**row, "weight": 2} for row in rows]
    prints = [
        keras_vit.load_data(write_csv(tmp_path / "a.csv", some)).train.fingerprint
        for some in (rows, first, other)
    ]
    assert len(set(prints)) == 3


def test_groups_stay_together(tmp_path):
    rows = write_pictures(tmp_path)
    for number, row in enumerate(rows):
        row["patient"] = f"p{number // 3}"
    path = write_csv(tmp_path / "a.csv", rows)
    data = keras_vit.load_data(path, columns={"group": "patient"})
    assert not set(data.train.groups) & set(data.validation.groups)
    assert len(data.validation) == 3
    assert data.details.endswith("; 3 groups")
    with pytest.raises(ValueError, match="1 of them empty"):
        keras_vit.load_data(path, groups=[float("nan"), *range(11)])
    given = [row["patient"] for row in rows]
    assert keras_vit.load_data(path, groups=given).summary() == data.summary()


def test_rows_that_are_there_twice_count_once(tmp_path):
    rows = write_pictures(tmp_path)
    path = write_csv(tmp_path / "a.csv", [*rows, {**rows[1], "path": "./img/001.png"}])
    with pytest.warns(UserWarning, match=r"1 rows are there twice .*\./img/001.png"):
        data = keras_vit.load_data(path, validation_fraction=0)
    assert len(data.train) == 12


BAD_ROWS = {
    "Rows with the same path must say the same, received 1 .*'cat' and 'dog'": [
        {"path": "img/000.png", "label": "dog"}
    ],
    r"needs a label, received 2 of 14 empty cells .* line 14, line 15": [
        {"path": "img/000.png", "label": ""},
        {"path": "img/001.png", "label": "  "},
    ],
    r"needs a path, received 1 of 13": [{"path": None, "label": "dog"}],
    r"2 of 14 pictures .* do not exist: .*img/90.png' \(line 14\).*image_dir": [
        {"path": "img/90.png", "label": "dog"},
        {"path": "img/91.png", "label": "dog"},
    ],
}


@pytest.mark.parametrize("message", BAD_ROWS)
def test_rows_that_say_no_label_of_a_picture_are_refused(message, tmp_path):
    rows = [*write_pictures(tmp_path), *BAD_ROWS[message]]
    error = FileNotFoundError if "do not exist" in message else ValueError
    with pytest.raises(error, match=message):
        keras_vit.load_data(write_csv(tmp_path / "a.csv", rows))


BAD_OPTIONS = [
    ({"columns": {"label": "species"}}, r"received 'species'; there are \['path', 'la"),
    ({"columns": {"kind": "label"}}, r"columns says which .* received \['kind'\]"),
    ({"columns": {"path": None}}, "A list needs a path"),
    ({"columns": {"group": "patient"}}, "The group must be a column"),
    ({"columns": {"weight": "label"}}, "number above 0, received 'cat'.*line 2"),
    ({"columns": {"split": "label"}}, "A split must be one of .* received cat"),
    ({"groups": [1, 2]}, "one group for each of 12 rows, received 2"),
    ({"class_names": ["cat", "dog", "cat"]}, "must all differ"),
]


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_options_that_do_not_fit_the_list_are_refused(options, message, tmp_path):
    path = write_csv(tmp_path / "a.csv", write_pictures(tmp_path))
    with pytest.raises(ValueError, match=message):
        keras_vit.load_data(path, **options)


BAD_FILES = {
    "a.csv": {
        "": "must have a first line",
        "path,label\n": "has no rows",
        "path,label,label\na,b,c\n": r"name of its own, received \['label'\]",
        "path,label\na.png,b,c\n": "2 cells as its first line has, received 3 in line",
        'path,label\na.png,"b\n': "no list that can be read: .* in line 2",
        "a.png,cat\nb.png,dog\n": r"received 'path'; there are \['a.png', 'cat'\]",
    },
    "a.jsonl": {
        "[1]\n": "must be a JSON object, received '.1.' in line 1",
        '{"path": "a"\n': "must be a JSON object, .* in line 1",
        '{"path": "a", "label": ["b"]}\n': r"one text or number, received \['b'\]",
    },
    "a.parquet": {"nothing": "no Parquet file that can be read"},
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_are_no_lists_are_refused(name, tmp_path):
    for content, message in BAD_FILES[name].items():
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=message):
            keras_vit.load_data(tmp_path / name)


def test_other_encodings_are_refused(tmp_path):
    (tmp_path / "a.csv").write_bytes("path,label\na,ä\n".encode("latin-1"))
    with pytest.raises(ValueError, match="text in UTF-8"):
        keras_vit.load_data(tmp_path / "a.csv")


def test_one_number_written_in_two_ways_is_refused(tmp_path):
    rows = write_pictures(tmp_path)
    for number, row in enumerate(rows):
        row["label"] = ["1", "01", "2"][number % 3]
    with pytest.raises(ValueError, match="received '01' and '1'"):
        keras_vit.load_data(write_csv(tmp_path / "a.csv", rows))


def test_labels_that_differ_in_case_are_told(tmp_path):
    rows = write_pictures(tmp_path)
    rows[0]["label"] = rows[3]["label"] = "Dog"
    with pytest.warns(UserWarning, match="differ only in upper and lower case"):
        keras_vit.load_data(write_csv(tmp_path / "a.csv", rows))


def test_labels_that_look_like_several_are_told(tmp_path):
    rows = write_pictures(tmp_path)
    for row in rows[:4]:
        row["label"] = "cat|dog"
    with pytest.warns(UserWarning, match="1 of the .* such as 'cat|dog'; each counts"):
        keras_vit.load_data(write_csv(tmp_path / "a.csv", rows))
    for row in rows:  # A stroke in a name alone says nothing.
        row["label"] = row["label"].replace("cat|dog", "left|right")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keras_vit.load_data(write_csv(tmp_path / "b.csv", rows))


def test_classes_and_groups_of_parts_are_checked(tmp_path):
    rows = write_pictures(tmp_path)
    for number, row in enumerate(rows):
        row["split"] = "train" if number % 3 else "val"
    path = write_csv(tmp_path / "a.csv", rows)
    with pytest.raises(ValueError, match=r"must be in 'train', received \['cat'\]"):
        keras_vit.load_data(path)
    for number, row in enumerate(rows):
        row["split"], row["group"] = ("train" if number < 6 else "val"), number % 6
    with pytest.raises(ValueError, match="both sides of a split, received 6"):
        keras_vit.load_data(write_csv(path, rows))


def test_damaged_pictures_are_found_before_training(tmp_path):
    path = write_csv(tmp_path / "a.csv", write_pictures(tmp_path))
    (tmp_path / "img" / "004.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match="1 of 12 image files cannot be read"):
        keras_vit.load_data(path)
    with pytest.warns(UserWarning, match="1 of 12 image files cannot be read"):
        data = keras_vit.load_data(path, skip_unreadable=True, validation_fraction=0)
    kept = {grey: label for grey, label in EXPECTED.items() if grey != 14}
    assert pairs(data.train) == kept


def test_options_of_lists_are_for_lists(tmp_path):
    (tmp_path / "cat").mkdir()
    for source in ("digits", str(tmp_path), (np.zeros((4, 8, 8)), [0, 1, 0, 1])):
        with pytest.raises(ValueError, match="is no list"):
            keras_vit.load_data(source, ending=".jpg")
    with pytest.raises(ValueError, match="groups is paired by position"):
        keras_vit.load_data(tmp_path, groups=[1])
    with pytest.raises(FileNotFoundError, match="No list"):
        keras_vit.load_data(tmp_path / "missing.csv")
    path = write_csv(tmp_path / "a.csv", write_pictures(tmp_path))
    with pytest.raises(FileNotFoundError, match="image_dir .* must be a folder"):
        keras_vit.load_data(path, image_dir=tmp_path / "nowhere")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"")
    monkeypatch.setattr(tables, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"keras3-vit\[parquet\]"):
        keras_vit.load_data(tmp_path / "a.parquet")
