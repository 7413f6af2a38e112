"""Verbs that call verbs."""
