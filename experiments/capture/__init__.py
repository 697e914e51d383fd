"""Captures: from a recorded pair to model.nam and its report."""
