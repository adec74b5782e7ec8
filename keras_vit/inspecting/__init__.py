"""What is wrong with a data set, found before training."""

from keras_vit.inspecting.check import check_data
from keras_vit.inspecting.data_check import DataCheck, Finding
from keras_vit.inspecting.page import write_page

__all__ = ["DataCheck", "Finding", "check_data", "write_page"]
