"""Pickles: those of strangers read by an allow-list, ours written so that old libraries read them.

Read are arrays, sparse matrices and plain values. Nothing else is built, so a pickle that would
run something is refused before it can; nor is an array of objects laid over raw bytes, which would
be a way round that.

Written are arrays as their bytes and sparse matrices as SciPy had them before 1.13. What NumPy 2
and SciPy 1.13 write by themselves cannot be read by the NumPy 1.24 and SciPy 1.10 that RLMRec's
code asks for.
"""

import copyreg
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix

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
# Python 3.8 and later read it, and it holds bytes that stay writable.
PROTOCOL = 5


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")
        if name in GUARDED:
            return GUARDED[name]
        return super().find_class(_today(module), name)


def _type(spec: Any, *how: bool) -> Any:
    """`numpy.dtype(…)`, but for records and objects.

    What is in a record can be changed once an array is made; a list of objects that is too short
    for its array ends the process.
    """
    found = np.dtype(spec, *how)
    if found.kind in "VO":
        raise pickle.UnpicklingError("it asks for records or objects, which is not allowed")
    return found


def _array(shape: Any, dtype: Any, buffer: Any) -> Any:
    """`numpy.ndarray(…)`, but for objects: their addresses would be taken from the bytes."""
    if np.dtype(dtype).hasobject:
        raise pickle.UnpicklingError("it asks for objects in raw bytes, which is not allowed")
    return np.ndarray(shape, dtype, buffer)


def _empty(kind: Any, shape: Any, dtype: Any) -> Any:
    """What `_reconstruct` begins with; the pickle then sets shape, type and content."""
    return np.empty(0, dtype="b")


GUARDED = {"dtype": _type, "ndarray": _array, "_reconstruct": _empty}


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
        *(pickle.UnpicklingError, EOFError, AttributeError, ImportError, LookupError),
        *(TypeError, ValueError, MemoryError, OverflowError, UnicodeDecodeError),
    ) as error:
        raise DataError(
            f"{path.name} is refused: {str(error) or type(error).__name__}.",
            hint="Only arrays, sparse matrices and plain values are read from pickles.",
        ) from error


class _Writer(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            content = bytearray(np.ascontiguousarray(value).tobytes())
            return np.ndarray, (value.shape, value.dtype, content)
        if isinstance(value, coo_matrix):
            facts = {
                "_shape": value.shape,
                "maxprint": 50,
                "row": value.row,
                "col": value.col,
                "data": value.data,
                "has_canonical_format": value.has_canonical_format,
            }
            return copyreg.__newobj__, (coo_matrix,), facts  # type: ignore[attr-defined]
        return NotImplemented


def write_pickle(path: Path, value: Any) -> None:
    """Write arrays (of numbers), `coo_matrix` and plain values, for old and new libraries."""
    with path.open("wb") as file:
        _Writer(file, PROTOCOL).dump(value)
