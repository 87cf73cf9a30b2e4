"""Optional extras: told to be there or not without importing them."""

import pytest

from pytest_prunecal.study import extras


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ((), ""),
        (("onnx",), "needs onnx, which is not installed: pip install 'pytest-prunecal[onnx]'"),
        (
            ("onnx", "onnxscript"),
            "needs onnx, onnxscript, which are not installed: pip install 'pytest-prunecal[onnx]'",
        ),
    ],
)
def test_what_is_lacking_is_named_with_the_way_to_get_it(monkeypatch, missing, says):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in missing else object())
    assert extras.lacking("onnx") == says


def test_versions_of_what_is_not_there(monkeypatch):
    monkeypatch.setitem(extras.EXTRAS, "onnx", ("nowhere_at_all", "json", "pytest"))
    found = extras.versions("onnx")
    assert found == {"nowhere_at_all": "missing", "json": "unknown", "pytest": pytest.__version__}
