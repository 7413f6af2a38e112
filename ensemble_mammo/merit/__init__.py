"""Figures of merit: compute, hold, draw. No torch."""
