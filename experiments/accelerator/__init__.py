"""The examination of an accelerator: `python -m experiments.accelerator`, see __main__.py."""
