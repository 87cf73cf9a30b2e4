"""What a command repeats of pytest's own options."""

import pytest

from pytest_prunecal.gate.surroundings import surroundings


@pytest.mark.parametrize(
    ("typed", "repeated"),
    [
        ([], ()),
        (["-x", "-n", "4", "tests", "--co", "-q", "--prunecal-models=vgg19"], ()),
        (["-c", "gate.ini", "-o", "a=b"], ("-c", "gate.ini", "-o", "a=b")),
        (["--config-file=gate.ini", "--override-ini=a=b"], ("--config-file=gate.ini", "--override-ini=a=b")),
        (["--rootdir", "..", "-cgate.ini", "-oa=b"], ("--rootdir", "..", "-cgate.ini", "-oa=b")),
        (["-p", "nets", "-pmore"], ("-p", "nets", "-pmore")),
        (["-p", "no:xdist", "-pno:cacheprovider", "-c"], ("-c", "")),
    ],
)
def test_what_finds_the_same_configuration_and_plugins(typed, repeated):
    assert surroundings(typed) == repeated
