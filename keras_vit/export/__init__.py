"""Files for phones, browsers and servers."""

from keras_vit.export.audit import list_ops
from keras_vit.export.benchmark import Benchmark, benchmark
from keras_vit.export.comparison import Comparison, ComparisonRow, export_all
from keras_vit.export.export import export
from keras_vit.export.measure import Latency
from keras_vit.export.report import ExportReport
from keras_vit.export.sensitivity import Sensitivity, sensitivity

__all__ = [
    "Benchmark",
    "Comparison",
    "ComparisonRow",
    "ExportReport",
    "Latency",
    "Sensitivity",
    "benchmark",
    "export",
    "export_all",
    "list_ops",
    "sensitivity",
]
