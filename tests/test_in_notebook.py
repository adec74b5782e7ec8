"""What a notebook shows of results, and what Python prints of them."""

from __future__ import annotations

import copy
import html.parser
import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import keras_vit
from keras_vit.exporting.comparison import ComparisonRow
from keras_vit.exporting.litert.audit import OpAudit
from keras_vit.exporting.litert.sensitivity import SensitivityRow
from keras_vit.exporting.timing import Latency
from keras_vit.heads.report import CurvePoint, Tried
from keras_vit.heads.temperature import Temperature
from keras_vit.inference.predict import Predictions
from keras_vit.label_scores import ClassScore, LabelScores
from keras_vit.pages.in_notebook import InNotebook
from keras_vit.pages.parts import bar

EVIL = "<script>alert('&')</script>"
VOID = {"rect", "path", "circle", "br", "img"}
LATENCY = Latency(
    batch=1,
    threads=1,
    num_calls=30,
    median_ms=4.321,
    p95_ms=5.678,
    images_per_second=231.4,
)


class Read(html.parser.HTMLParser):
    """Texts and tags of a page that opens and closes each tag."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert len({name for name, _ in attrs}) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] != "style":
            self.texts.append(data)


def of_model():
    return keras_vit.ViT.from_variant(
        "S/16",
        num_classes=2,
        class_names=[EVIL, "dog"],
        preprocessing=keras_vit.Preprocessing(),
    ), ["S/16", "21,666,434", "GFLOPs", "224 x 224 pixels", "dog"]


def of_predictions():
    classes = [
        keras_vit.Prediction(EVIL, 0, 0.7512),
        keras_vit.Prediction("dog", 1, 0.2488),
    ]
    return Predictions([classes, []], [EVIL, "b.jpg"]), ["75.1%", "b.jpg: no class"]


def of_evaluation():
    labels = np.array([0] * 60 + [1] * 40)
    sides = np.array([0] * 55 + [1] * 45)
    data = keras_vit.load_data(
        (np.zeros((100, 8, 8, 3), "uint8"), labels),
        class_names=[EVIL, "dog"],
        validation_fraction=0,
    )
    model = keras_vit.ViT.from_variant(
        "test",
        image_size=8,
        num_classes=2,
        preprocessing=keras_vit.Preprocessing(image_size=8),
    )
    found = keras_vit.evaluate(model, data)
    answers = replace(found.answers, answers=sides, labels=labels)
    found = replace(found, accuracy=0.95, answers=answers)
    return found, [
        "95.0%",
        "88.8% to 97.8%",
        "55",
        "40",
        "dog",
        "on 100 train pictures",
    ]


def of_labels():
    score = ClassScore(
        class_name=EVIL, num_images=7, average_precision=0.875, f1=None, threshold=0.25
    )
    labels = LabelScores(
        mean_average_precision=0.875, f1_macro=0.5, f1_micro=0.625, classes=(score,)
    )
    return keras_vit.Evaluation(
        part="test",
        num_images=9,
        accuracy=1 / 3,
        loss=0.4567,
        labels=labels,
        num_trained_on=3,
    ), ["87.5%", "62.5%", "0.457", "trained on 3 pictures", "0.250"]


def of_head():
    point = CurvePoint(share=0.5, num_images=40, accuracy=0.8, margin=0.05)
    return keras_vit.HeadReport(
        num_images=80,
        num_folds=5,
        num_compared=80,
        features="token_mean",
        dtype="float32",
        temperature=Temperature(
            value=1.5,
            error_before=0.123,
            error=0.045,
            loss_before=0.5,
            loss=0.4,
            num_images=80,
        ),
        false_alarms=None,
        tried=(
            Tried(
                features="token_mean", width=64, strength=1.0, accuracy=0.875, loss=0.4
            ),
        ),
        neighbours=0.812,
        class_means=0.75,
        majority=0.5,
        curve=(point, replace(point, share=1.0, num_images=80, accuracy=0.875)),
        num_computed=80,
        seconds=1.0,
    ), ["0.875", "0.812", "chosen", "± 0.050", "more photographs would help", "0.045"]


def of_training():
    history = [
        {"epoch": n, "loss": 1 / n, "val_accuracy": 0.5 if n == 3 else 0.25}
        for n in range(1, 301)
    ]
    return keras_vit.TrainingResult(
        history=history, best_epoch=3, seconds=61.2, output=Path(EVIL)
    ), ["3, best", "0.3333", "300", "61"]


def of_data_check():
    data = keras_vit.load_data(
        (np.zeros((6, 32, 32, 3), "uint8"), np.arange(6) % 2),
        class_names=[EVIL, "dog"],
        validation_fraction=0,
    )
    found = keras_vit.check_data(data, near_duplicates=False)
    return found, ["6 pictures in 2 classes", "32 x 32", found.findings[0].title, "dog"]


def of_export():
    return keras_vit.ExportReport(
        path=Path(EVIL),
        format="litert",
        num_bytes=1234567,
        inputs={
            "name": "images",
            "shape": [1, 32, 32, 3],
            "dtype": "float32",
            "values": "of x",
        },
        output="logits",
        num_images=24,
        max_difference=1.2e-6,
        top1_agreement=0.9583,
        latency=LATENCY,
        device="a phone",
        ops={str(n): n for n in range(99)},
        warnings=("few pictures",),
    ), ["1,234,567 bytes", "95.83%", "4.32", "a phone", "few pictures"]


def of_comparison():
    rows = [
        ComparisonRow(
            format="litert",
            quantization="float32",
            file="a.tflite",
            num_bytes=3_210_000,
            accuracy=0.9123,
            latency=LATENCY,
            is_best=True,
        ),
        ComparisonRow(format="onnx", quantization="float16", problem=EVIL),
    ]
    return keras_vit.Comparison(
        folder=Path("files"),
        rows=tuple(rows),
        num_images=24,
        source="images",
        model_accuracy=0.9234,
        device="a phone",
    ), ["3.210", "91.23%", "92.34%", "best", "4.32"]


def of_benchmark():
    return keras_vit.Benchmark(
        path=Path(EVIL),
        format="litert",
        backend=None,
        device="a phone",
        fixed_batch=1,
        rows=(LATENCY,),
    ), ["4.321", "5.678", "231.4", "a phone"]


def of_audit():
    op = OpAudit(name=EVIL, count=7, dtypes=("float32",), xnnpack=6, gpu=())
    return keras_vit.Audit(ops=(op,), xnnpack_partitions=1, dynamic_shapes=("t 3",)), [
        "7",
        "6",
        "yes",
        "t 3",
    ]


def of_sensitivity():
    row = SensitivityRow(
        kind="part", name=EVIL, error=0.0123, max_difference=0.5, top1_agreement=0.875
    )
    return keras_vit.Sensitivity(num_images=24, rows=(row,)), ["1.23%", "0.5", "87.50%"]


def of_faithfulness():
    shares = np.linspace(0, 1, 3)
    return keras_vit.Faithfulness(
        shares=shares, deletion=1 - shares, insertion=shares, target=0
    ), ["0.500", "50%", "1.000"]


def of_file():
    return keras_vit.PredictionFile(path=Path(EVIL), num_pictures=1234), ["1,234"]


def of_image_data():
    data = keras_vit.load_data("digits")
    return replace(data, name=EVIL), ["1,198 images", "599 images", "10: 0, 1, 2"]


MAKERS = [value for name, value in sorted(globals().items()) if name[:3] == "of_"]
WITHOUT_TEXTS_OF_FILES = {"of_faithfulness", "of_head"}


@pytest.fixture(scope="module", params=MAKERS, ids=lambda maker: maker.__name__)
def case(request):
    return (request.param.__name__, *request.param())


def test_a_notebook_shows_the_numbers_in_tags_that_are_closed(case):
    _, shown, expected = case
    page = Read(shown._repr_html_())
    texts = " ".join(page.texts)
    assert [text for text in expected if text not in texts] == []


def test_texts_of_files_stay_texts(case):
    name, shown, _ = case
    page = Read(shown._repr_html_())
    assert "script" not in page.tags
    assert (EVIL in " ".join(page.texts)) == (name not in WITHOUT_TEXTS_OF_FILES)


def test_what_python_prints_is_short(case):
    assert len(repr(case[1])) < 1000
    assert repr(case[1]).count("\n") <= 3


def test_colours_are_those_of_the_notebook(case):
    style = case[1]._repr_html_().partition("<style>")[2].partition("</style>")[0]
    # Each rule is about what is inside, and no text has a colour of its own.
    rules = [rule.partition("{") for rule in style.split("}") if rule.strip()]
    assert all(
        selector.strip().startswith(".keras-vit")
        for rule, *_ in rules
        for selector in rule.split(",")
    )
    assert all(
        declaration.partition(":")[2].strip() in ("inherit", "var(--quiet)")
        for *_, body in rules
        for declaration in body.split(";")
        if declaration.partition(":")[0].strip() == "color"
    )


def test_each_result_is_shown(case):
    assert isinstance(case[1], InNotebook)


def test_long_lists_are_cut():
    many = [[keras_vit.Prediction("cat", 0, 1.0)]] * 100
    text = Predictions(many)._repr_html_()
    assert text.count("<table>") == 20
    assert "and 80 more pictures" in text
    history = of_training()[0]._repr_html_()
    assert history.count("<tr>") == 21


def test_predictions_are_a_list():
    found, _ = of_predictions()
    assert found == [list(found[0]), []]
    assert pickle.loads(pickle.dumps(found)) == found
    assert repr(found) == repr(list(found))


def test_a_name_stays_with_its_picture():
    found, _ = of_predictions()
    for one in (found, pickle.loads(pickle.dumps(found)), copy.deepcopy(found)):
        one.reverse()
        first, _, second = one._repr_html_().partition("b.jpg: no class")
        assert "script" not in first and "75.1%" in second
        del one[0]
        assert "b.jpg" not in one._repr_html_()


def test_a_model_that_is_not_built_says_so():
    assert repr(keras_vit.ViT.__new__(keras_vit.ViT)) == "<ViT, not built>"


def test_a_report_of_an_earlier_version_is_read(tmp_path):
    report, _ = of_head()
    facts = report.as_json()
    del facts["mean_average_precision"]
    (tmp_path / "head.json").write_text(json.dumps(facts))
    assert keras_vit.HeadReport.read(tmp_path) == report


def test_a_large_matrix_becomes_a_list_of_pairs():
    found, _ = of_evaluation()
    names = tuple(f"class {number}" for number in range(30))
    labels = np.arange(90) % 30
    answers = replace(
        found.answers,
        class_names=names,
        labels=labels,
        answers=np.where(np.arange(90) < 3, 29, labels),
    )
    text = replace(found, num_images=90, answers=answers)._repr_html_()
    assert "Most often confused" in text
    assert "33.3%" in text


def test_what_is_no_number_has_no_bar():
    assert bar(float("nan")) == bar(0.0) != bar(0.5)
