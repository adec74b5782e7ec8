"""One module per format: `convert(job)` writes `job["target"]`.

Each runs in a child process, under the backend that `FORMATS` names.
"""
