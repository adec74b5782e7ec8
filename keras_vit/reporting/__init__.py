"""The report of an evaluation: where a model errs, as one page."""
