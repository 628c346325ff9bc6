"""Scores of maps against truth, and of predicted images against observed ones."""
