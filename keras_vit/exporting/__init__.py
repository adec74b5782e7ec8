"""Files for phones, browsers and servers: `export` writes them and runs them.

What belongs to one format stands in one place: `litert/`, `saved_model/`,
`onnx_file.py`, `openvino_folder.py`, `pt2_file.py`, `stablehlo_file.py`. Each has a
function `convert(job)`, which runs in a child process under the backend that `FORMATS`
names. None is named as the package it uses, which type checkers would take for the
module itself.
"""
