"""Run published deep models over satellite image time series and write georeferenced maps."""

__version__ = "0.1.0"
