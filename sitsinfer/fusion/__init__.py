"""Fusion of two sensors' series: which days go in and come out, and the ways to predict them.

``strategies`` chooses days; every other module is one algorithm, behind the protocol of ``types``, or the optics
(``psf``) and resampling (``resample``) that they share with the metrics.
"""
