"""Training: one loop, and for each task what a network is taught, from series with labels to a model folder."""
