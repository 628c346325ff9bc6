import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def test_a_folder_of_rasters_needs_neither_xarray_nor_torch(series_folder: Callable[..., Path]) -> None:
    code = (
        "import sys; from pathlib import Path; from sitsinfer.series import open_series, read_stack\n"
        "from sitsinfer.grid import whole\n"
        "series = open_series(Path(sys.argv[1])); read_stack(series, whole(series.grid), series.grid)\n"
        "print(sorted({'xarray', 'torch', 'distributed', 'typer', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, series_folder()], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
