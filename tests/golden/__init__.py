"""Run what is built over a folder of fixtures: numbers that a right implementation reproduces."""
