"""Pickles that strangers give us, read by an allow-list: arrays, sparse matrices, plain values.

Nothing else is built, so a pickle that would run something is refused before it can.
"""

import io
import pickle
from pathlib import Path
from typing import Any

from errors import DataError

# Module and name as a pickle spells them. numpy and scipy moved these over the years.
ALLOWED = {
    *((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core")),
    *((f"numpy.{core}.multiarray", "scalar") for core in ("core", "_core")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *((f"scipy.sparse.{file}", "coo_matrix") for file in ("coo", "_coo")),
    *((f"scipy.sparse.{file}", "csr_matrix") for file in ("csr", "_csr")),
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")
        return super().find_class(_today(module), name)


def _today(module: str) -> str:
    """Where numpy and scipy keep it now."""
    module = module.replace("numpy.core", "numpy._core")
    return module.replace("sparse.coo", "sparse._coo").replace("sparse.csr", "sparse._csr")


def read_pickle(path: Path) -> Any:
    """What a pickle holds. Raises DataError for one that is damaged or asks for anything else."""
    try:
        return _Reader(io.BytesIO(path.read_bytes())).load()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except (
        *(pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError, KeyError),
        *(TypeError, ValueError, MemoryError, OverflowError, UnicodeDecodeError),
    ) as error:
        raise DataError(
            f"{path.name} is refused: {str(error) or type(error).__name__}.",
            hint="Only arrays, sparse matrices and plain values are read from pickles.",
        ) from error
