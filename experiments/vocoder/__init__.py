"""Vocoders: from a corpus to a model folder and its report."""
