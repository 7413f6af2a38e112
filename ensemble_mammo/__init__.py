"""Classification of mammograms: one network a projection, fused by subject."""
__version__ = "0.1.0.dev0"
