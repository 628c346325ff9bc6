"""Map classes on a Dask cluster: here one on this machine; on Slurm or Kubernetes only the cluster's class differs.

On Slurm, with dask-jobqueue installed::

    from dask_jobqueue import SLURMCluster
    cluster = SLURMCluster(cores=3, processes=1, memory="16GB", walltime="02:00:00",
                           job_extra_directives=["--gres=gpu:1"])
    cluster.adapt(maximum=20)

On Kubernetes, with dask-kubernetes installed::

    from dask_kubernetes.operator import KubeCluster
    cluster = KubeCluster(image="an image that has sitsinfer", n_workers=8)

Three threads keep a worker busy: it reads a tile, computes another and writes a third. Workers, and this script, must
see inputs and outputs under the same paths. The command line takes the same address by --scheduler.
"""

import tempfile
from pathlib import Path

from distributed import LocalCluster

import sitsinfer
from sitsinfer.simulate import Scene, write_scene

if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp())
    write_scene(folder / "scene", Scene(height=160, width=192, dates=24, seed=3))
    with LocalCluster(n_workers=2, threads_per_worker=3, dashboard_address=None) as cluster:
        options = sitsinfer.Options(scheduler=cluster.scheduler_address, tile_size=96)
        summary = sitsinfer.segment(folder / "scene" / "sentinel2", folder / "map.tif", options=options)
    print(f"{folder / 'map.tif'}: {summary.tiles} tiles in {summary.seconds['wall']:.0f} s.")
