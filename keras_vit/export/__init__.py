"""Files for phones, browsers and servers."""

from keras_vit.export.audit import list_ops
from keras_vit.export.export import export
from keras_vit.export.report import ExportReport

__all__ = ["ExportReport", "export", "list_ops"]
