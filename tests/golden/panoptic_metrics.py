"""Fixtures of panoptic quality."""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np

from sitsinfer.metrics.overlaps import Overlaps
from sitsinfer.metrics.panoptic import MATCH, panoptic_scores
from tests.golden.generator import Arrays, Fixture


def run(fixture: Fixture) -> tuple[Arrays, Arrays]:
    maps, options, results = fixture.outputs(), fixture.hyperparameters, fixture.spec["results"]
    assert options["iou_threshold"] == MATCH
    names = "true_instance", "true_semantic", "pred_instance", "pred_semantic"
    images = zip(*(maps[name].reshape(-1, *maps[name].shape[-2:]) for name in names), strict=True)
    void = () if options["void_label"] is None else (options["void_label"],)
    classes = [code for code in range(options["num_classes"]) if code not in (options["background_label"], *void)]
    scores = reduce(add, (panoptic_scores(Overlaps.of(*image), classes, void, as_published=True) for image in images))
    computed = {
        "SQ": scores.mean_sq,
        "RQ": scores.mean_rq,
        "PQ": scores.mean_pq,
        "class_ids": scores.classes,
        "SQ_per_class": scores.sq,
        "RQ_per_class": scores.rq,
        "PQ_per_class": scores.pq,
        "table_tp_fp_fn_cumiou": np.stack([scores.matched, scores.spurious, scores.missed, scores.iou], axis=1),
    }
    return (
        {name: np.asarray(value) for name, value in computed.items()},
        {name: np.array(value, None if name == "class_ids" else np.float64) for name, value in results.items()},
    )
