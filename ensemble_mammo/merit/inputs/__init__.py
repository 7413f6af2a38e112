"""Prediction files of any system, and true classes, read."""
