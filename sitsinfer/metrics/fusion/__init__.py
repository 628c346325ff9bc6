"""How far predicted dates agree with observed ones, as published with TAMRF: RMSE, NRMSE, SAM and FRR.

Both sides are read patch by patch with what lies around it, so that sums over patches are those of the whole image and
memory does not grow with it. A Landsat observation of 30 m is compared with the prediction as Landsat would have seen
it, one of Sentinel-2 with the prediction blurred as much as its bands of 20 m are, and truth with the prediction as it
is. Pixels along the border do not count.

BRISQUE, which the published script reports as well, needs regression weights that are downloaded, and is left out.
"""

from sitsinfer.metrics.fusion.compare import Comparison, compare
from sitsinfer.metrics.fusion.report import to_csv, to_table
from sitsinfer.metrics.fusion.scores import DateScores

__all__ = ["Comparison", "DateScores", "compare", "to_csv", "to_table"]
