"""Pickles: what is read, what is refused, and that what we write is for old libraries too."""

import pickle
import pickletools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.sparse import coo_matrix

from errors import DataError
from stores.pickles import read_pickle, write_pickle

MATRIX = coo_matrix((np.ones(3), ([0, 1, 1], [2, 0, 1])), shape=(2, 3))


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *words):
        self.call = function, words

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(
    "value",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([3, 4], dtype=">i4"),
        np.float64(3.5),
        MATRIX,
        MATRIX.tocsr(),
        {0: {"profile": "quiet", "reasoning": ""}},
    ],
    ids=["array", "fortran", "big-endian", "scalar", "coo", "csr", "profiles"],
)
def test_what_libraries_of_today_write_is_read(tmp_path, value, protocol):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol))
    found = read_pickle(tmp_path / "a.pkl")
    assert type(found) is type(value)
    if hasattr(value, "toarray"):
        found, value = found.toarray(), value.toarray()
    assert np.array_equal(found, value) if isinstance(value, np.ndarray) else found == value


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Calls(eval, "1 + 1"), "builtins.eval"),
        (Calls(np.ndarray, (1,), "O", b"12345678"), "objects"),
        (Calls(np.ndarray, (1,), np.dtype("O"), b"12345678"), "objects"),
        (np.zeros(1, dtype=[("a", "O")]), "records"),
    ],
    ids=["code", "objects by name", "objects", "records"],
)
def test_what_would_run_or_build_anything_else_is_refused(tmp_path, value, told):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    with pytest.raises(DataError, match=told):
        read_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize("raw", [b"", b"\x80", b"no pickle", pickle.dumps([1, 2])[:-2]])
def test_a_damaged_pickle_is_told(tmp_path, raw):
    (tmp_path / "a.pkl").write_bytes(raw)
    with pytest.raises(DataError, match=r"a\.pkl is refused"):
        read_pickle(tmp_path / "a.pkl")


NUMBERS = npst.integer_dtypes() | npst.floating_dtypes(sizes=(32, 64)) | npst.boolean_dtypes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(npst.arrays(NUMBERS, npst.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)))
def test_any_array_of_numbers_comes_back_as_it_was(tmp_path, array):
    write_pickle(tmp_path / "a.pkl", array)
    found = read_pickle(tmp_path / "a.pkl")
    assert (found.shape, found.dtype) == (array.shape, array.dtype)
    assert found.tobytes() == array.tobytes()
    assert found.flags.writeable


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sets(st.tuples(st.integers(0, 6), st.integers(0, 4))))
def test_any_matrix_comes_back_as_it_was(tmp_path, cells):
    rows, columns = np.array(sorted(cells), dtype=np.int32).reshape(-1, 2).T
    matrix = coo_matrix((np.ones(len(cells)), (rows, columns)), shape=(7, 5))
    write_pickle(tmp_path / "a.pkl", matrix)
    assert np.array_equal(read_pickle(tmp_path / "a.pkl").toarray(), matrix.toarray())


def test_what_we_write_names_nothing_that_numpy_1_and_scipy_1_8_do_not_have(tmp_path):
    value = {"matrix": MATRIX, "array": np.arange(3, dtype=np.float32)}
    write_pickle(tmp_path / "a.pkl", value)
    raw = (tmp_path / "a.pkl").read_bytes()
    said = [word for _, word, _ in pickletools.genops(raw) if isinstance(word, str)]
    modules = {word for word in said if word.startswith(("numpy", "scipy"))}
    assert modules == {"numpy", "scipy.sparse._coo"}
    # SciPy before 1.13 looks for these, and not for "coords".
    assert {"row", "col", "data", "_shape"} <= set(said) and "coords" not in said
