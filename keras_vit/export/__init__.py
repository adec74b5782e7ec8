"""Files for phones, browsers and servers."""

from keras_vit.export.audit import list_ops
from keras_vit.export.export import export
from keras_vit.export.report import ExportReport
from keras_vit.export.sensitivity import Sensitivity, sensitivity

__all__ = ["ExportReport", "Sensitivity", "export", "list_ops", "sensitivity"]
