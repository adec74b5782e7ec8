"""Heads that are fitted on the features of a frozen model."""

from keras_vit.heads.calibrate import calibrate
from keras_vit.heads.fit_head import fit_head
from keras_vit.heads.report import HeadReport

__all__ = ["HeadReport", "calibrate", "fit_head"]
