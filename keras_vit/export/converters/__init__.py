"""One module per format: `convert(job)` writes `job["target"]`.

Each runs in a child process, under the backend that `FORMATS` names. None is
named as the package it uses, which type checkers would take for the module itself.
"""
