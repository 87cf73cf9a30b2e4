"""What is told of the corrupted test sets."""

from pytest_prunecal.report import corrupted
from pytest_prunecal.study.measurement import Measurement
from pytest_prunecal.study.protocol_file import BUILT_IN, load

QUICK = load("quick", BUILT_IN)


def test_worst_corruption_is_the_first_of_equals_and_none_without_sets():
    even = {name: {"1": {"accuracy": 0.5}} for name in ("fog", "gaussian_noise")}
    assert corrupted.worst_corruption(Measurement({}, even), QUICK) == corrupted.Worst(
        "gaussian_noise", 0.5, None
    )
    assert corrupted.worst_corruption(Measurement({}), QUICK) is None
