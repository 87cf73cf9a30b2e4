"""Data sets of a folder of images a class."""

import os

import numpy as np
import pytest
from PIL import Image

from pytest_prunecal.lab.datasets.load import load


def picture(path, color, size=(6, 4), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path)


@pytest.fixture
def tree(tmp_path):
    """Two classes; three cats and one dog to train on; colours tell the files apart."""
    for number in range(3):
        picture(tmp_path / f"pets/train/cat/{number}.png", (number, 0, 0))
        picture(tmp_path / f"pets/test/dog/{number}.PNG", (0, 0, number))
    picture(tmp_path / "pets/train/dog/a.bmp", (9, 9, 9))
    picture(tmp_path / "pets/test/cat/b.png", (7, 7, 7))
    return tmp_path


def test_a_folder_is_read_sorted_and_dealt_round_the_classes(tree):
    (tree / "pets/train/cat/notes.txt").write_text("not an image")
    (tree / "pets/train/.cache").mkdir()
    picture(tree / "pets/train/cat/.hidden.png", (200, 0, 0))
    first, second = (load({"name": "folder", "path": "pets"}, tree) for _ in range(2))
    assert first.classes == 2
    assert first.train_images.shape == (4, 3, 4, 6)
    assert first.train_labels.tolist() == [0, 1, 0, 0]
    assert first.train_images[:, 0, 0, 0].tolist() == [0, 9, 1, 2]
    assert first.test_labels.tolist() == [0, 1, 1, 1]
    assert first.test_images[:, 2, 0, 0].tolist() == [7, 0, 1, 2]
    assert first.digest == second.digest
    assert load({"name": "folder"}, tree / "pets").digest == first.digest


def test_a_folder_is_resized_by_pillows_bilinear_filter(tree):
    draw = np.random.default_rng(0).integers(256, size=(9, 7, 3), dtype=np.uint8)
    Image.fromarray(draw).save(tree / "pets/train/cat/0.png")
    dataset = load({"name": "folder", "path": "pets", "size": 5}, tree)
    assert dataset.train_images.shape == (4, 3, 5, 5)
    expected = np.asarray(Image.fromarray(draw).resize((5, 5), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(dataset.train_images[0].permute(1, 2, 0), expected)


def test_grey_palette_and_transparent_images_become_rgb(tree):
    picture(tree / "pets/train/cat/0.png", 30, mode="L")
    picture(tree / "pets/train/cat/1.png", (10, 20, 30, 40), mode="RGBA")
    picture(tree / "pets/train/cat/2.png", 0, mode="P")
    dataset = load({"name": "folder", "path": "pets"}, tree)
    cats = dataset.train_images[dataset.train_labels == 0]
    assert cats[0, :, 0, 0].tolist() == [30, 30, 30]
    assert cats[1, :, 0, 0].tolist() == [10, 20, 30]


def test_images_of_two_sizes_need_a_size(says, tree):
    picture(tree / "pets/test/dog/1.PNG", (0, 0, 1), size=(8, 8))
    with says("1.PNG is 8x8", "is 6x4", "size: N"):
        load({"name": "folder", "path": "pets"}, tree)
    assert load({"name": "folder", "path": "pets", "size": 6}, tree).test_images.shape == (4, 3, 6, 6)


@pytest.mark.parametrize("cut", [0, 20, 60])
def test_a_broken_image_is_named(says, tree, cut):
    file = tree / "pets/train/cat/1.png"
    Image.fromarray(np.random.default_rng(0).integers(256, size=(4, 6, 3), dtype=np.uint8)).save(file)
    file.write_bytes(file.read_bytes()[:cut])
    with says(str(file), "not a readable image"):
        load({"name": "folder", "path": "pets"}, tree)


def test_sixteen_bit_images_are_refused(says, tree):
    Image.fromarray(np.full((4, 6), 40_000, np.uint16)).save(tree / "pets/train/cat/1.png")
    with says("1.png", "mode I", "8 bits"):
        load({"name": "folder", "path": "pets"}, tree)


def test_classes_must_be_the_same_in_train_and_test(says, tree):
    picture(tree / "pets/train/eel/0.png", 0)
    with says("has eel under train but not under test"):
        load({"name": "folder", "path": "pets"}, tree)
    (tree / "pets/train/eel").rename(tree / "pets/test/eel")
    with says("has eel under test but not under train"):
        load({"name": "folder", "path": "pets"}, tree)
    (tree / "pets/test/eel/0.png").unlink()
    (tree / "pets/train/eel").mkdir()
    with says("no image in", "eel", ".png"):
        load({"name": "folder", "path": "pets"}, tree)


def test_a_folder_without_its_parts(says, tmp_path):
    with says("there is no", "nowhere"):
        load({"name": "folder", "path": "nowhere"}, tmp_path)
    with says("there is no folder", "train"):
        load({"name": "folder"}, tmp_path)
    (tmp_path / "train").mkdir()
    with says("train is empty"):
        load({"name": "folder"}, tmp_path)
    with says("nowhere", "--prunecal-data"):
        load({"name": "folder"}, None)
    with says("size is '32'"):
        load({"name": "folder", "size": "32"}, tmp_path)


def test_files_that_are_no_images_are_named(says, tree):
    file = tree / "pets/train/cat/1.png"
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    with says("1.png is not a readable image: it is a Git LFS pointer", "`git lfs pull`"):
        load({"name": "folder", "path": "pets"}, tree)
    file.unlink()
    os.mkfifo(file)
    with says("1.png is no file"):
        load({"name": "folder", "path": "pets"}, tree)
