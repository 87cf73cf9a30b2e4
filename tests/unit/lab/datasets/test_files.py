"""What data sets are read from, told without reading it: the digest of the published corruptions' files."""

import os

import numpy as np

from pytest_prunecal.lab.datasets.published import published

NAMES = ("fog", "snow")


def test_the_published_digest_follows_the_files(write_published, tmp_path, clean):
    place, arrays = write_published(tmp_path, clean)
    fixed = 1_500_000_000
    for file in place.iterdir():
        os.utime(file, (fixed, fixed))

    def digest(dataset=clean, names=NAMES):
        return published(tmp_path, dataset, names).digest

    base = digest()
    assert digest(names=NAMES[::-1]) == base
    os.utime(place / "frost.npy", (0, 0))
    assert digest() == base
    assert (
        len({base, digest(names=["fog"]), digest(names=["fog", "frost"]), digest(clean.subset(None, 3))}) == 4
    )

    arrays["fog"][17, 0, 0, 0] ^= 1
    np.save(place / "fog.npy", arrays["fog"])
    os.utime(place / "fog.npy", (fixed, fixed))
    edited = digest()
    os.utime(place / "fog.npy", (fixed + 1, fixed + 1))
    assert len({base, edited, digest()}) == 3


def test_the_published_digest_of_large_files_reads_a_little_of_them(small, write_published, tmp_path):
    dataset = small(train=3, test=100, size=40, name="cifar10")
    place, _ = write_published(tmp_path, dataset, names=["fog"])
    file = place / "fog.npy"
    size, fixed = file.stat().st_size, 1_500_000_000
    assert size > 2 * 1024 * 1024
    digests = set()
    # The first header byte cannot change, so the last pixel and one in the middle block stand for the rest.
    for offset in (size - 1, (size - 65_536) * 8 // 15 + 5):
        content = bytearray(file.read_bytes())
        content[offset] ^= 255
        file.write_bytes(content)
        os.utime(file, (fixed, fixed))
        digests.add(published(tmp_path, dataset, ["fog"]).digest)
    assert len(digests) == 2
