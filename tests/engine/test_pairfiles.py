"""Images are listed as a person would list them, and find their labels by name."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from napari_unet.engine.files import read_labels
from napari_unet.engine.formats.findfiles import find_images, relative_name
from napari_unet.engine.formats.maskfolder import image_of_masks
from napari_unet.engine.formats.pairfiles import pair_files, pair_labels, same_name
from napari_unet.engine.items.plan import plan
from napari_unet.errors import InputError
from napari_unet.sample_data import touching_cells


def tree(folder: Path, *names: str) -> Path:
    """Make small images of these names below a folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, np.ones((4, 5), np.uint8))
    return folder


def test_a_folder_lists_its_images_as_a_person_would(tmp_path: Path) -> None:
    """Subfolders are entered, 2 comes before 10, and hidden or foreign files are left out."""
    tree(tmp_path, "a10.tif", "a2.TIF", "b/c.png", "._a2.tif", ".trash/x.tif", "b/.hidden.png")
    (tmp_path / "notes.txt").write_text("not an image")

    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["a2.TIF", "a10.tif", "b/c.png"]
    names = [relative_name(path, tmp_path).as_posix() for path in find_images(tmp_path)]
    assert names == ["a2", "a10", "b/c"]


def test_a_pattern_lists_what_it_matches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are relative to the folder before the first wildcard, even if that has brackets."""
    tree(tmp_path / "day [1]", "a.ome.tif", "b.tif", "deep/a.tif")
    monkeypatch.chdir(tmp_path)

    assert find_images("day [1]/a*.tif") == [Path("day [1]/a.ome.tif")]
    assert relative_name(Path("day [1]/a.ome.tif"), "day [1]/a*.tif") == Path("a")
    (deep,) = find_images("day [1]/*/a.tif")
    assert relative_name(deep, "day [1]/*/a.tif") == Path("deep/a")
    assert len(find_images("**/*.tif")) == 3
    zarr.create_array("c.zarr", shape=(9, 8), dtype="u2")
    tree(tmp_path / "c.zarr", "thumbnail.png")
    assert find_images("*/*.png") == [Path("c.zarr/thumbnail.png")], "asked for by name"
    assert Path("c.zarr/thumbnail.png") not in find_images("**/*")


def test_a_pattern_of_folders_lists_what_is_in_them(tmp_path: Path) -> None:
    """Quoted, or on Windows, where no shell does it; but where it matches images, only these."""
    tree(tmp_path, "day1/a.tif", "day2/deep/a.tif", "night/a.tif")
    (tmp_path / "day notes.txt").write_text("not an image")

    pattern = tmp_path / "day*"
    names = [relative_name(path, pattern).as_posix() for path in find_images(pattern)]
    assert names == ["day1/a", "day2/deep/a"]
    tree(tmp_path, "day0.tif")
    assert find_images(pattern) == [tmp_path / "day0.tif"]

    tree(tmp_path / "bowl", "7f/images/7f.png", "7f/masks/0c.png", "7f/masks/1b.png")
    bowl = tmp_path / "bowl"
    (pair,) = pair_files([bowl / "*" / "images"], [bowl / "*" / "masks"])
    assert pair == (bowl / "7f/images/7f.png", bowl / "7f/masks")


def test_nothing_to_find_is_an_error(tmp_path: Path) -> None:
    """An empty folder, a pattern without matches and a missing file are told apart from success."""
    for path in (tmp_path, tmp_path / "*.tif", tmp_path / "gone.tif"):
        with pytest.raises(InputError, match="There is no"):
            find_images(path)


def pairs(tmp_path: Path, images: list[str], labels: list[str]) -> list[tuple[str, str]]:
    """Pair paths below a folder and name them relative to it."""
    found = pair_files([tmp_path / name for name in images], [tmp_path / name for name in labels])
    return [tuple(p.relative_to(tmp_path).as_posix() for p in pair) for pair in found]  # type: ignore[misc]


def test_folders_are_paired_by_name(tmp_path: Path) -> None:
    """The path inside the folder decides, with or without a word for labels behind it."""
    tree(tmp_path / "images", "a.tif", "b.tif", "day 2/a.tif", "c.tif")
    tree(tmp_path / "labels", "a.tif", "b_labels.tif", "day 2/a-Mask.png", "c.masks.tif")

    assert pairs(tmp_path, ["images"], ["labels"]) == [
        ("images/a.tif", "labels/a.tif"),
        ("images/b.tif", "labels/b_labels.tif"),
        ("images/c.tif", "labels/c.masks.tif"),
        ("images/day 2/a.tif", "labels/day 2/a-Mask.png"),
    ]


def test_masks_of_cellpose_are_labels(tmp_path: Path) -> None:
    """As that program calls them, beside the images or in a folder of their own."""
    masks = ("a_cp_masks.png", "b_cp_masks.tif")
    tree(tmp_path / "images", "a.tif", "b.tif")
    tree(tmp_path / "masks", *masks)
    tree(tmp_path / "both", "a.tif", "b.tif", *masks)

    for images, labels in (("images", "masks"), ("both", "both")):
        assert pairs(tmp_path, [images], [labels]) == [
            (f"{images}/{image}", f"{labels}/{mask}")
            for image, mask in zip(("a.tif", "b.tif"), masks, strict=True)
        ]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (["000_img.png", "001_img.png"], ["000_masks.png", "001_masks.png"]),
        (["a.tif", "b.tif"], ["a_Object Identities.tiff", "b_Simple Segmentation.tif"]),
        (["s [x=0,y=0,w=9,h=9].tif", "t.tif"], ["s [x=0,y=0,w=9,h=9]-labelled.png", "t.tif"]),
        (["m.tif", "n.tif"], ["LblImg_m.tif", "LblImg_n.tif"]),
        (["t000.tif", "t001.tif"], ["man_seg000.tif", "man_seg001.tif"]),
        (["t0007.tif", "t0010.tif"], ["man_track0007.tif", "man_track0010.tif"]),
        (["man_seg000.tif", "man_seg001.tif"], ["mask000.tif", "mask001.tif"]),
        (["image_1.tif", "image_2.tif"], ["mask_1.png", "mask_2.png"]),
        (["a.tif", "b.tif"], ["a_GT.tif", "b-lbl.tif"]),
        (["case_1_0000.tif", "case_2_0000.tif"], ["case_1.tif", "case_2.tif"]),
        (["a_0000.tif", "a_0001.tif"], ["a_0000.tif", "a_0001.tif"]),
        (["a.ome.tif", "b.OME.TIF"], ["a_mask.ome.tif", "b.tif"]),
    ],
    ids=[
        "Cellpose",
        "ilastik",
        "QuPath",
        "TrackMate",
        "CTC",
        "CTC tracks",
        "CTC results",
        "words",
        "shorter words",
        "nnU-Net",
        "numbers",
        "OME",
    ],
)
def test_names_that_other_programs_give_are_pairs(
    tmp_path: Path, images: list[str], labels: list[str]
) -> None:
    """Nobody renames hundreds of files to change the program."""
    tree(tmp_path / "i", *images)
    tree(tmp_path / "l", *labels)

    found = pairs(tmp_path, ["i"], ["l"])

    assert sorted(found) == sorted(
        (f"i/{image}", f"l/{mask}") for image, mask in zip(images, labels, strict=True)
    )


def test_volumes_of_nifti_are_paired_without_their_double_suffix(tmp_path: Path) -> None:
    """A plugin opens them; their labels may have any other suffix."""
    tree(tmp_path / "i", "a.nii.gz", "b_0000.nii.gz")
    tree(tmp_path / "l", "a_labels.nii.gz", "b.tif")

    assert pairs(tmp_path, ["i/*.nii.gz"], ["l/a*.nii.gz", "l/b.tif"]) == [
        ("i/a.nii.gz", "l/a_labels.nii.gz"),
        ("i/b_0000.nii.gz", "l/b.tif"),
    ]
    assert str(relative_name(tmp_path / "i" / "a.nii.gz", tmp_path / "i" / "*.gz")) == "a"


def test_accents_are_the_same_however_they_are_written(tmp_path: Path) -> None:
    """A Mac and a server have two ways, which nobody can tell apart by looking."""
    apart, composed = "Gro\u0308\u00dfe", "Gr\u00f6\u00dfe"
    tree(tmp_path / "i", f"{apart}.tif", f"{apart} 2.tif")
    tree(tmp_path / "l", f"{composed}.tif", f"{composed} 2_mask.tif")

    assert sorted(pairs(tmp_path, ["i"], ["l"])) == [
        (f"i/{apart} 2.tif", f"l/{composed} 2_mask.tif"),
        (f"i/{apart}.tif", f"l/{composed}.tif"),
    ]
    tree(tmp_path / "both", f"{apart}.tif", f"{composed}_mask.tif")
    assert pairs(tmp_path, ["both"], ["both"]) == [
        (f"both/{apart}.tif", f"both/{composed}_mask.tif")
    ]
    assert [item.image.stem for item in plan(tmp_path / "both", tmp_path / "out")] == [apart]


def test_less_in_common_makes_a_pair_only_where_nothing_else_does(tmp_path: Path) -> None:
    """A number alone is never preferred to a name, nor chosen where two files have it."""
    tree(tmp_path / "i", "t1.tif", "image_1.tif", "t2.tif")
    tree(tmp_path / "l", "t1_mask.tif", "mask_1.tif", "mask_2.tif")

    assert pairs(tmp_path, ["i"], ["l"]) == [
        ("i/image_1.tif", "l/mask_1.tif"),
        ("i/t1.tif", "l/t1_mask.tif"),
        ("i/t2.tif", "l/mask_2.tif"),
    ]
    tree(tmp_path / "i", "img2.tif")
    for labels in (tmp_path / "l", tmp_path / "l" / "*.tif"):
        with pytest.raises(InputError, match="There is no partner"):
            pair_files([tmp_path / "i"], [labels])


def test_of_several_channels_in_files_of_their_own_none_is_taken_for_the_image(
    tmp_path: Path,
) -> None:
    """As nnU-Net has them: they would be learned without the others."""
    tree(tmp_path / "imagesTr", "case_0000.tif", "case_0001.tif")
    tree(tmp_path / "labelsTr", "case.tif")
    for labels in ("labelsTr", "labelsTr/case.tif"):
        with pytest.raises(InputError, match=r"no partner for .*case"):
            pair_files([tmp_path / "imagesTr"], [tmp_path / labels])


def test_it_is_said_how_to_train_where_some_images_have_no_labels(tmp_path: Path) -> None:
    """As in the Cell Tracking Challenge, where few frames are labelled; not where names differ."""
    frames = [f"t{frame:03}.tif" for frame in range(9)]
    tree(tmp_path / "01", *frames)
    tree(tmp_path / "SEG", "man_seg003.tif", "man_seg007.tif")

    with pytest.raises(InputError, match=r"t000.*If some images have no labels, give the fi"):
        pair_files([tmp_path / "01"], [tmp_path / "SEG"])
    found = pairs(tmp_path, ["01"], ["SEG/*.tif"])
    assert found == [(f"01/t00{n}.tif", f"SEG/man_seg00{n}.tif") for n in (3, 7)]
    tree(tmp_path / "SEG", "other.tif")
    with pytest.raises(InputError, match=r"or _mask\.$"):
        pair_files([tmp_path / "01"], [tmp_path / "SEG"])


def test_labels_that_lie_among_images_are_no_images(tmp_path: Path) -> None:
    """Images, labels and training regions in one folder, or only the last in one of their own."""
    tree(tmp_path / "data", "a.tif", "a_labels.tif", "a_region.png", "b.tif", "b_labels.tif")
    tree(tmp_path / "data", "b_region.png", "c_img.tif", "c_masks.tif", "c_region.png")
    tree(tmp_path / "done", "a.png", "b.png", "c.png")

    images = [f"data/{name}.tif" for name in ("a", "b", "c_img")]
    regions = [f"data/{name}_region.png" for name in "abc"]
    assert pairs(tmp_path, ["data"], ["done"]) == [
        (image, f"done/{name}.png") for image, name in zip(images, "abc", strict=True)
    ]
    assert pairs(tmp_path, ["data"], ["data/*_region.png"]) == [*zip(images, regions, strict=True)]


def bowl(folder: Path, *names: str) -> dict[str, Any]:
    """Write images with one mask for each cell, and return the labels that they are."""
    written = {}
    for seed, name in enumerate(names):
        image, truth = touching_cells((96, 96), seed=seed)
        for kind in ("images", "masks"):
            (folder / name / kind).mkdir(parents=True)
        Image.fromarray((255 * image).astype(np.uint8)).save(folder / name / f"images/{name}.png")
        for number in np.unique(truth[truth > 0]):
            mask = np.where(truth == number, 255, 0).astype(np.uint8)
            Image.fromarray(mask).save(folder / name / f"masks/{number:04}.png")
        written[name] = truth
    return written


def test_a_folder_with_a_mask_for_each_cell_is_labels(tmp_path: Path) -> None:
    """As the Data Science Bowl has them, for training and as truth; masks are no images."""
    written = bowl(tmp_path / "data", "7f38", "a1c4")
    tree(tmp_path / "segmented", *(f"{name}/images/{name}_labels.tif" for name in written))
    both = [(f"data/{n}/images/{n}.png", f"data/{n}/masks") for n in written]

    assert pairs(tmp_path, ["data"], ["data"]) == both
    tree(tmp_path / "data/7f38/images", "7f38_labels.tif", "7f38_probabilities.tif")
    assert image_of_masks(tmp_path / "data/7f38/masks") == tmp_path / both[0][0]
    for result in (tmp_path / "data/7f38/images").glob("*.tif"):
        result.unlink()
    assert pairs(tmp_path, ["data/7f38/images"], ["data/7f38/masks"]) == both[:1]
    assert [path.name for path in find_images(tmp_path / "data")] == ["7f38.png", "a1c4.png"]
    found = pair_labels([tmp_path / "data"], [tmp_path / "segmented"]).pairs
    assert [truth.name for truth, _ in found] == ["masks", "masks"]
    for (truth, _), expected in zip(found, written.values(), strict=True):
        labels = read_labels(truth)
        assert labels.max() == len(np.unique(expected)) - 1
        np.testing.assert_array_equal(labels > 0, expected > 0)
        assert all(len(np.unique(expected[labels == n])) == 1 for n in range(1, labels.max()))


def test_labels_in_a_folder_called_masks_are_read_as_they_are(tmp_path: Path) -> None:
    """Where one file is called as the image is, where there are more images, or a single mask."""
    one, several, alone = (tmp_path / name for name in ("one", "several", "alone"))
    tree(one / "images", "a.png")
    tree(several / "images", "a.png", "b.png")
    for folder in (one, several):
        tree(folder / "masks", "a_mask.png", "b.png")
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    tree(alone / "images", "a.png")
    tree(alone / "masks", "cells.png")
    Image.fromarray(labels).save(alone / "masks" / "cells.png")

    assert [path.name for path in find_images(one / "masks", labels=True)] == [
        "a_mask.png",
        "b.png",
    ]
    assert len(find_images(several / "masks", labels=True)) == 2
    assert (
        pairs(tmp_path, ["several/images"], ["several/masks"])[0][1] == "several/masks/a_mask.png"
    )
    np.testing.assert_array_equal(read_labels(alone / "masks"), labels)


def test_masks_that_are_not_one_cell_each_are_refused(tmp_path: Path) -> None:
    """Labels would run together, and a mask of another size is of another image."""
    bowl(tmp_path, "7f38")
    masks = tmp_path / "7f38" / "masks"
    Image.fromarray(np.eye(96, dtype=np.uint8) * 7 + 1).save(masks / "x.png")
    with pytest.raises(InputError, match=r"x\.png holds several numbers.*give this file"):
        read_labels(masks)
    Image.fromarray(np.ones((95, 96), np.uint8)).save(masks / "x.png")
    with pytest.raises(InputError, match=r"x\.png has shape \(95, 96\), but .* has \(96, 96\)"):
        read_labels(masks)


def test_what_cellpose_writes_beside_masks_needs_no_partner(tmp_path: Path) -> None:
    """Flows, outlines and a picture lie in one folder; results that were asked for are missed."""
    beside = ("a_flows_cp_masks.tif", "a_dP_cp_masks.tif", "a_outlines_cp_masks.png")
    tree(tmp_path, "a.tif", "a_cp_masks.png", "a_cp_output_cp_masks.png", *beside)

    assert pairs(tmp_path, ["."], ["."]) == [("a.tif", "a_cp_masks.png")]
    tree(tmp_path / "truth", "man_seg000.tif")
    tree(tmp_path / "01_RES", "mask000.tif", "mask001.tif")
    with pytest.raises(InputError, match=r"no partner for .*mask001"):
        pair_files([tmp_path / "truth"], [tmp_path / "01_RES"])


def test_what_a_batch_writes_beside_labels_needs_no_partner(tmp_path: Path) -> None:
    """Its folder is given as it is, to train on or to be evaluated."""
    tree(tmp_path / "i", "a.tif", "b.tif")
    tree(tmp_path / "l", "a_labels.tif", "b_labels.tif", "a_probabilities.tif", "a_RES/mask000.tif")

    assert pairs(tmp_path, ["i"], ["l"]) == [
        ("i/a.tif", "l/a_labels.tif"),
        ("i/b.tif", "l/b_labels.tif"),
    ]


def test_one_folder_may_hold_both(tmp_path: Path) -> None:
    """In a folder given for images and labels, the word behind the name tells them apart."""
    tree(tmp_path, "a.tif", "a_labels.tif", "b.png", "b_mask.tif")

    expected = [("a.tif", "a_labels.tif"), ("b.png", "b_mask.tif")]
    assert pairs(tmp_path, ["."], ["."]) == expected


def test_folders_of_zarr_are_paired_like_files(tmp_path: Path) -> None:
    """An image of zarr is one file, in a folder and by name."""
    tree(tmp_path / "i", "a.tif", "b.tif")
    for path in ("i/c.ome.zarr", "l/a.zarr", "l/c_labels.ome.zarr"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        zarr.create_array(tmp_path / path, data=np.ones((4, 5), np.uint8))
    tree(tmp_path / "l", "b.tif")

    assert pairs(tmp_path, ["i"], ["l"]) == [
        ("i/a.tif", "l/a.zarr"),
        ("i/b.tif", "l/b.tif"),
        ("i/c.ome.zarr", "l/c_labels.ome.zarr"),
    ]
    assert pairs(tmp_path, ["i/c.ome.zarr"], ["l"]) == [("i/c.ome.zarr", "l/c_labels.ome.zarr")]
    np.testing.assert_array_equal(read_labels(tmp_path / "l" / "a.zarr"), np.ones((4, 5)))


def test_labels_inside_of_zarr_are_those_of_its_image(tmp_path: Path) -> None:
    """Where OME-Zarr puts them: one or many, by their names or by a pattern."""
    for name in ("a", "b"):
        group = zarr.open_group(tmp_path / f"{name}.ome.zarr", mode="w")
        group.create_array("0", data=np.ones((4, 5), np.uint8))
        group.create_group("labels/cells").create_array("0", data=np.ones((4, 5), np.uint8))
    expected = [(f"{name}.ome.zarr", f"{name}.ome.zarr/labels/cells") for name in "ab"]

    assert pairs(tmp_path, ["."], ["*.ome.zarr/labels/cells"]) == expected
    assert pairs(tmp_path, *([*side] for side in zip(*expected, strict=True))) == expected
    assert same_name(*(tmp_path / path for path in expected[0]))
    assert not same_name(*(tmp_path / path for path in (expected[0][0], expected[1][1])))


def test_labels_inside_of_a_plate_are_those_of_its_fields(tmp_path: Path) -> None:
    """A pattern reaches into the plate, which is given as a whole for the images."""
    plate = zarr.open_group(tmp_path / "p.zarr", mode="w")
    plate.attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": "A/1"}]}}
    well = plate.create_group("A/1")
    well.attrs["ome"] = {"version": "0.5", "well": {"images": [{"path": "0"}, {"path": "1"}]}}
    for field in "01":
        for name in (field, f"{field}/labels/cells"):
            well.create_group(name).create_array("0", data=np.ones((4, 5), np.uint8))

    assert pairs(tmp_path, ["p.zarr"], ["p.zarr/*/*/*/labels/cells"]) == [
        (f"p.zarr/A/1/{field}", f"p.zarr/A/1/{field}/labels/cells") for field in "01"
    ]


def test_named_files_are_a_selection(tmp_path: Path) -> None:
    """Naming some files, or a pattern, leaves the rest of the other folder out; one fits one."""
    tree(tmp_path / "i", "a.tif", "b.tif", "c.tif")
    tree(tmp_path / "l", "a.tif", "b.tif", "c.tif")

    assert pairs(tmp_path, ["i/b.tif"], ["l"]) == [("i/b.tif", "l/b.tif")]
    assert pairs(tmp_path, ["i"], ["l/a.tif", "l/c.tif"]) == [
        ("i/a.tif", "l/a.tif"),
        ("i/c.tif", "l/c.tif"),
    ]
    assert pairs(tmp_path, ["i"], ["l/[ac].tif"]) == [
        ("i/a.tif", "l/a.tif"),
        ("i/c.tif", "l/c.tif"),
    ]
    assert pairs(tmp_path, ["i/a.tif"], ["l/b.tif"]) == [("i/a.tif", "l/b.tif")]


def test_of_many_files_without_a_partner_the_first_are_named(tmp_path: Path) -> None:
    """A screen full of paths hides the sentence around them."""
    tree(tmp_path / "i", "a.tif", *(f"b{number}.tif" for number in range(1, 41)))
    tree(tmp_path / "l", "a.tif")

    with pytest.raises(InputError) as caught:
        pair_files([tmp_path / "i"], [tmp_path / "l"])

    names = ", ".join(str(tmp_path / "i" / f"b{number}.tif") for number in range(1, 6))
    assert f"There is no partner for {names} and 35 more. An image and" in str(caught.value)


def test_files_without_a_partner_are_all_listed(tmp_path: Path) -> None:
    """Nothing is paired by order: two wrong names on two sides are two complaints."""
    tree(tmp_path / "i", "a.tif", "b.tif", "c.tif")
    tree(tmp_path / "l", "a.tif", "x_mask.tif", "y.tif")

    with pytest.raises(InputError) as caught:
        pair_files([tmp_path / "i"], [tmp_path / "l"])

    lonely = [Path("i", "b.tif"), Path("i", "c.tif"), Path("l", "x_mask.tif"), Path("l", "y.tif")]
    assert all(str(path) in str(caught.value) for path in lonely)
    assert str(Path("i", "a.tif")) not in str(caught.value)


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Two candidates for one image are never chosen between."""
    tree(tmp_path / "i", "a.tif", "b.tif")
    tree(tmp_path / "l", "a_labels.tif", "a_mask.png", "b.tif")

    with pytest.raises(InputError, match="both called a;"):
        pair_files([tmp_path / "i"], [tmp_path / "l"])


@given(
    st.lists(
        st.text(string.ascii_lowercase + "0_", min_size=1, max_size=6), unique=True, min_size=1
    )
)
def test_any_set_of_names_pairs_with_itself(names: list[str]) -> None:
    """A name and the same name with _labels behind it always find each other."""
    from napari_unet.engine.formats.pairfiles import _by_key

    ends = ("label", "labels", "mask", "masks", "region", "regions")
    plain = [name for name in names if not name.endswith(tuple(f"_{end}" for end in ends))]
    left = _by_key([(Path(f"i/{name}"), Path(name)) for name in plain])
    right = _by_key([(Path(f"l/{name}"), Path(f"{name}_labels")) for name in plain])

    assert list(left) == list(right) == plain
