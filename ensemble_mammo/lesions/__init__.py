"""Verbs of lesions: patches and heatmap; like stages, they never import each other."""
