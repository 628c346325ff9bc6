"""Scores of maps against truth: NumPy only."""
