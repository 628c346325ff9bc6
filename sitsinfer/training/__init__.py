"""Training: a compact loop for each task, from folders of series with labels to a model folder."""
