"""Images and labels come out of files as they went in, or not at all."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from napari_unet.engine.files import read_image, read_labels, write_labels, write_probabilities
from napari_unet.engine.formats import tiffwriter
from napari_unet.engine.formats.findfiles import find_images
from napari_unet.engine.formats.imagefile import open_image
from napari_unet.errors import InputError

RNG = np.random.default_rng(0)


def noise(*shape: int, dtype: str = "uint16") -> np.ndarray:
    """Numbers that do not compress and do not repeat along any axis."""
    return RNG.integers(0, 256, shape).astype(dtype)


AXES: dict[str, tuple[tuple[int, ...], dict[str, Any], str]] = {
    "a plane": ((9, 8), {}, "YX->CYX"),
    "an OME stack": ((5, 9, 8), {"ome": True, "metadata": {"axes": "ZYX"}}, "ZYX->CZYX"),
    "OME channels": ((3, 9, 8), {"ome": True, "metadata": {"axes": "CYX"}}, "CYX->CYX"),
    "OME time, channels and planes": (
        (2, 3, 4, 9, 8),
        {"ome": True, "metadata": {"axes": "TCZYX"}},
        "TCZYX->CTZYX",
    ),
    "an ImageJ hyperstack": (
        (4, 2, 9, 8),
        {"imagej": True, "metadata": {"axes": "ZCYX"}},
        "ZCYX->CZYX",
    ),
    "a shaped time series": ((6, 9, 8), {"metadata": {"axes": "TYX"}}, "TYX->CTYX"),
    "axes in small letters": ((6, 9, 8), {"metadata": {"axes": "tyx"}}, "TYX->CTYX"),
    "independent images": ((6, 9, 8), {"metadata": {"axes": "QYX"}}, "QYX->CQYX"),
    "colour": ((9, 8, 3), {"photometric": "rgb"}, "YXS->SYX"),
    "a stack of colour": ((5, 9, 8, 3), {"photometric": "rgb"}, "QYXS->SQYX"),
    "planar colour that says so": (
        (3, 9, 8),
        {"photometric": "rgb", "planarconfig": "separate", "metadata": {"axes": "SYX"}},
        "SYX->SYX",
    ),
    "bare pages": ((6, 9, 8), {"metadata": None, "photometric": "minisblack"}, "QYX->CQYX"),
    "three nameless planes": (
        (3, 9, 8),
        {"photometric": "rgb", "planarconfig": "separate"},
        "QYX->CQYX",
    ),
    "a nameless last axis of 3": ((9, 8, 3), {"photometric": "minisblack"}, "YXS->SYX"),
    "a stack of another byte order": (
        (5, 9, 8),
        {"byteorder": ">", "metadata": {"axes": "ZYX"}},
        "ZYX->CZYX",
    ),
    "a stack of one plane": ((1, 9, 8), {"metadata": {"axes": "ZYX"}}, "CYX->CYX"),
}


@pytest.mark.parametrize("case", AXES)
def test_axes_are_put_in_order(case: str, tmp_path: Path) -> None:
    """Channels come first, then all planes as one axis, then Y and X, and no pixel is elsewhere."""
    shape, options, order = AXES[case]
    pixels = noise(*shape)
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)

    image = read_image(tmp_path / "a.tif")

    before, after = order.split("->")
    if "C" in after and "C" not in before:
        pixels, before = pixels[None], "C" + before
    expected = np.transpose(pixels, [before.index(axis) for axis in after])
    height_and_width = expected.shape[-2:]
    planes = () if expected.ndim == 3 else (-1,)
    np.testing.assert_array_equal(
        image, expected.reshape(expected.shape[0], *planes, *height_and_width)
    )
    assert image.dtype == np.uint16
    opened = open_image(tmp_path / "a.tif")
    assert opened.data[:].dtype == np.uint16
    np.testing.assert_array_equal(np.asarray(opened.data), image)
    np.testing.assert_array_equal(opened.data[:, ..., 2:4, 1::3], image[:, ..., 2:4, 1::3])
    planes = [axis for axis in after if axis not in "CSYX"]
    assert opened.plane_axes == "".join(planes)
    assert opened.plane_shape == tuple(shape[order.index(axis)] for axis in planes)


PICTURES: dict[str, tuple[np.ndarray, str, Callable[[np.ndarray], np.ndarray]]] = {
    "grey": (noise(9, 8, dtype="uint8"), "png", lambda p: p[None]),
    "16-bit grey": (noise(9, 8) * 200, "png", lambda p: p[None]),
    "colour": (noise(9, 8, 3, dtype="uint8"), "png", lambda p: np.moveaxis(p, -1, 0)),
    "colour with alpha": (
        noise(9, 8, 4, dtype="uint8"),
        "png",
        lambda p: np.moveaxis(p, -1, 0)[:3],
    ),
    "grey with alpha": (noise(9, 8, 2, dtype="uint8"), "png", lambda p: p[None, ..., 0]),
    "black and white": (noise(9, 8) > 99, "bmp", lambda p: p[None]),
    "fractions": (noise(9, 8) / np.float32(7), "pfm", lambda p: p[None]),
}


@pytest.mark.parametrize("case", PICTURES)
def test_pictures_are_read_without_their_alpha(case: str, tmp_path: Path) -> None:
    """PNG and BMP pictures give (C, Y, X) with one or three channels."""
    pixels, suffix, expected = PICTURES[case]
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")

    for read in (read_image, lambda path: open_image(path).data):
        np.testing.assert_array_equal(read(tmp_path / f"a.{suffix}"), expected(pixels))


@pytest.mark.parametrize("case", PICTURES)
def test_an_opened_picture_is_decoded_when_its_pixels_are_asked_for(
    case: str, tmp_path: Path
) -> None:
    """It is described as it is, also while nobody has looked at its pixels; they are kept then."""
    pixels, suffix, expected = PICTURES[case]
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path)
    seen, unseen = open_image(path).data, open_image(path).data

    for data in (seen, unseen):
        assert (data.shape, data.dtype) == (expected(pixels).shape, expected(pixels).dtype)
    np.testing.assert_array_equal(seen[:, 2:5, 3:], expected(pixels)[:, 2:5, 3:])
    path.write_bytes(path.read_bytes()[:-40])
    np.testing.assert_array_equal(seen, expected(pixels))
    with pytest.raises(InputError, match=rf"The pixels of .*a\.{suffix} could not be read"):
        np.asarray(unseen)


SMALL_MEMORY = """
import resource, sys
import numpy as np
from napari_unet.engine.formats.imagefile import open_image
data = open_image(sys.argv[1]).data
pages = int(open("/proc/self/statm").read().split()[0])
room = pages * resource.getpagesize() + 1.5 * data.size
resource.setrlimit(resource.RLIMIT_AS, (int(room), resource.RLIM_INFINITY))
np.asarray(data)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there the size of a process cannot be limited")
def test_missing_memory_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    """Whoever reads the pixels knows what to do about it: a batch, a smaller tile."""
    Image.new("L", (10_000, 10_000)).save(tmp_path / "a.png", compress_level=1)

    run = subprocess.run(
        [sys.executable, "-c", SMALL_MEMORY, str(tmp_path / "a.png")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.stderr.splitlines()[-1] == "MemoryError"


def deep_png(pixels: np.ndarray) -> bytes:
    """Write (Y, X, samples) with 16 bits a sample, which Pillow does not."""
    height, width, samples = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[samples]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )


@pytest.mark.parametrize("side", [9500, 13400])
def test_a_picture_may_be_larger_than_pillow_expects(side: int, tmp_path: Path) -> None:
    """Of a scanned slide, beyond what it warns of and beyond what it refuses; nothing stays set."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.new("1", (side, side), 1).save(tmp_path / "slide.png", compress_level=1)
    assert read_image(tmp_path / "slide.png").shape == (1, side, side)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_a_picture_keeps_all_of_its_bits_or_is_refused(samples: int, tmp_path: Path) -> None:
    """Cut to 8 bits, cells 1 to 255 would be background, and 256 to 511 one cell."""
    labels = np.repeat(noise(9, 8, 1) * 200, samples, axis=2)
    (tmp_path / "a.png").write_bytes(deep_png(labels))

    if samples == 1:
        np.testing.assert_array_equal(read_labels(tmp_path / "a.png"), labels[..., 0])
        return
    stored = ("L", "LA", "RGB", "RGBA")[samples - 1]
    for read in (read_labels, read_image, open_image):
        with pytest.raises(InputError, match=rf"a\.png has 16 bits for each of {stored}, .*TIFF"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("extra", "channels"), [("assocalpha", 3), ("unassalpha", 3), ("unspecified", 4)]
)
def test_alpha_of_a_tiff_is_dropped_and_a_fourth_colour_is_not(
    tmp_path: Path, extra: str, channels: int
) -> None:
    """The file says which of them the fourth sample is."""
    pixels = noise(9, 8, 4, dtype="uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=[extra])

    for image in (read_image(tmp_path / "a.tif"), open_image(tmp_path / "a.tif").data):
        np.testing.assert_array_equal(np.asarray(image), np.moveaxis(pixels, -1, 0)[:channels])


def test_lzw_needs_no_further_package(tmp_path: Path) -> None:
    """The commonest compression of microscope software is read, also in stacks."""
    pixels = noise(3, 9, 8)
    first, *others = (Image.fromarray(plane) for plane in pixels)
    first.save(tmp_path / "a.tif", compression="tiff_lzw", save_all=True, append_images=others)

    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), pixels[None])
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif").data, pixels[None])


STACKS: dict[str, dict[str, Any]] = {
    "shaped": {"metadata": {"axes": "ZYX"}},
    "ImageJ": {"imagej": True, "metadata": {"axes": "ZYX"}},
    "OME": {"ome": True, "metadata": {"axes": "ZYX"}},
    "bare": {"metadata": None},
}
DECLARED = {"shaped": "declares 20 pages", "ImageJ": "declares 20 pages"}


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("kind", STACKS)
def test_a_truncated_stack_is_refused_with_both_numbers(
    kind: str, compression: str | None, tmp_path: Path
) -> None:
    """A stack that ends early, which tifffile may read as fewer pages, says what is missing."""
    whole, cut = tmp_path / "whole.tif", tmp_path / "cut.tif"
    tifffile.imwrite(whole, noise(20, 32, 32), compression=compression, **STACKS[kind])
    content = whole.read_bytes()
    for share in (0.4, 0.9, 0.999):
        cut.write_bytes(content[: int(share * len(content))])
        with pytest.raises(InputError, match="cut short"):
            open_image(cut)
        with pytest.raises(InputError, match="cut short") as caught:
            read_image(cut)
        message = str(caught.value)
        assert str(cut) in message
        assert DECLARED.get(kind, "pages") in message
        assert "found" in message or "description" in message


def test_a_stack_cut_after_its_first_page_is_not_one_plane(tmp_path: Path) -> None:
    """The numbers in the message are those of the file."""
    tifffile.imwrite(tmp_path / "a.tif", noise(20, 32, 32), compression="zlib", **STACKS["ImageJ"])
    content = (tmp_path / "a.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "a.tif") as whole:
        second = whole.pages[1].dataoffsets[0]
    (tmp_path / "a.tif").write_bytes(content[:second])

    with pytest.raises(InputError, match="declares 20 pages, found 1\\."):
        read_image(tmp_path / "a.tif")


@settings(max_examples=300)
@given(kind=st.sampled_from(sorted(STACKS)), missing=st.integers(1, 3000))
def test_no_cut_gives_other_pixels(kind: str, missing: int, tmp_path_factory: Any) -> None:
    """However many bytes are missing at the end, there is an InputError or the whole image."""
    pixels = np.arange(5 * 16 * 16, dtype=np.uint16).reshape(5, 16, 16)
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, compression="zlib", **STACKS[kind])
    cut = tmp_path_factory.getbasetemp() / "cut.tif"
    cut.write_bytes(file.getvalue()[:-missing])

    try:
        image = read_image(cut)
    except InputError:
        return
    np.testing.assert_array_equal(image[0], pixels)


UNREADABLE: dict[str, bytes] = {
    "empty.tif": b"",
    "text.tif": b"no picture at all",
    "header.tif": b"II*\0\x08\0\0\0",
    "rubbish.tif": b"II*\0" + bytes(range(256)),
    "rubbish.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "._a.tif": b"\x00\x05\x16\x07",
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_image_is_named_with_the_reason(name: str, tmp_path: Path) -> None:
    """Empty, damaged and foreign files give one InputError with the path."""
    (tmp_path / name).write_bytes(UNREADABLE[name])

    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        open_image(tmp_path / name)
    with pytest.raises(InputError, match=name.replace(".", r"\.")) as caught:
        read_image(tmp_path / name)

    assert len(str(caught.value)) > len(str(tmp_path / name)) + 10


def test_what_to_do_with_a_damaged_tiff_file_is_said(tmp_path: Path) -> None:
    """Also where the reader has nothing to say but the number of a page."""
    path = tmp_path / "damaged.tif"
    path.write_bytes(b"II*\0junk")
    said = "damaged.tif cannot be read as a TIFF file: it is damaged, or no image. Copy or export"
    for read in (open_image, read_image):
        with pytest.raises(InputError, match=said):
            read(path)


def test_a_missing_file_and_a_folder_are_no_images(tmp_path: Path) -> None:
    """A path that is not a file is an InputError too."""
    for path in (tmp_path / "gone.tif", tmp_path):
        with pytest.raises(InputError, match=path.name):
            read_image(path)
        with pytest.raises(InputError, match=path.name):
            open_image(path)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_pages_that_were_written_one_by_one_are_a_stack(
    tmp_path: Path, compression: str | None
) -> None:
    """As by a loop over tifffile or imageio, which say of each page that it is an image."""
    stack, path = noise(5, 9, 8), tmp_path / "loop.tif"
    with tifffile.TiffWriter(path) as writer:
        for plane in stack:
            writer.write(plane, compression=compression)

    np.testing.assert_array_equal(read_image(path), stack[np.newaxis])
    np.testing.assert_array_equal(read_labels(path), stack)
    opened = open_image(path)
    np.testing.assert_array_equal(opened.data[:, 2:4], stack[np.newaxis, 2:4])
    assert (opened.plane_axes, opened.plane_shape) == ("Q", (5,))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(InputError, match=r"loop\.tif (is cut short|cannot be read)"):
        read_image(path)


def test_stacks_that_were_written_one_by_one_are_several_images(tmp_path: Path) -> None:
    """Nothing says what two stacks are to each other; of many, the first are named."""
    with tifffile.TiffWriter(tmp_path / "loop.tif") as writer:
        for _ in range(40):
            writer.write(noise(5, 9, 8), photometric="minisblack")

    with pytest.raises(
        InputError, match=r"holds 40 images \((5 x 9 x 8, ){4}5 x 9 x 8 and 35 more"
    ):
        read_image(tmp_path / "loop.tif")


def test_a_file_of_several_images_is_refused(tmp_path: Path) -> None:
    """Nobody can say which of two sizes was meant."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(noise(9, 8))
        writer.write(noise(5, 6))

    with pytest.raises(InputError, match="holds 2 images \\(9 x 8, 5 x 6\\)"):
        read_image(tmp_path / "a.tif")


def test_a_row_of_numbers_is_no_picture(tmp_path: Path) -> None:
    """One axis is not enough."""
    tifffile.imwrite(tmp_path / "a.tif", noise(50))

    with pytest.raises(InputError, match=r"shape \(50,\)"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["æøå 細胞.tif", "with space/and [brackets].png", "1,5 µm.bmp"])
def test_any_name_can_be_read_found_and_written(name: str, tmp_path: Path) -> None:
    """Unicode, spaces and brackets are only letters."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    pixels = noise(9, 8, dtype="uint8")
    Image.fromarray(pixels).save(path)

    assert find_images(path) == find_images(path.parent) == [path]
    np.testing.assert_array_equal(read_image(path)[0], pixels)
    write_labels(path.with_suffix(".tif"), pixels)
    np.testing.assert_array_equal(read_labels(path.with_suffix(".tif")), pixels)


@pytest.mark.parametrize("shape", [(9, 8), (4, 9, 8), (3, 9, 8), (2, 1, 1)])
@pytest.mark.parametrize(("largest", "dtype"), [(1, "u2"), (65535, "u2"), (65536, "u4")])
def test_labels_come_back_in_the_narrowest_dtype(
    shape: tuple[int, ...], largest: int, dtype: str, tmp_path: Path
) -> None:
    """Labels are uint16 up to 65 535 and uint32 beyond, with the axes they had."""
    labels = np.zeros(shape, np.int64)
    labels.flat[-1] = largest

    write_labels(tmp_path / "new" / "a.tif", labels)

    back = read_labels(tmp_path / "new" / "a.tif")
    np.testing.assert_array_equal(back, labels)
    assert back.dtype == dtype
    with tifffile.TiffFile(tmp_path / "new" / "a.tif") as file:
        assert file.is_ome
        assert file.series[0].axes == "ZYX"[-labels.ndim :]
        assert file.pages.first.compression == tifffile.COMPRESSION.ADOBE_DEFLATE


def test_equal_labels_give_equal_files(tmp_path: Path) -> None:
    """Writing the same twice gives the same bytes."""
    for name in "ab":
        write_labels(tmp_path / f"{name}.tif", np.arange(12).reshape(3, 4))

    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_a_large_file_is_a_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What might not fit into 4 GB gets 64-bit offsets."""
    write_labels(tmp_path / "small.tif", np.ones((9, 8), int))
    monkeypatch.setattr(tiffwriter, "LARGEST_CLASSIC", 100)
    write_labels(tmp_path / "large.tif", np.ones((9, 8), int))

    kinds = [(tmp_path / f"{name}.tif").read_bytes()[:4] for name in ("small", "large")]
    assert kinds == [b"II*\0", b"II+\0"]
    np.testing.assert_array_equal(read_labels(tmp_path / "large.tif"), np.ones((9, 8)))


@pytest.mark.parametrize(
    "labels",
    [
        np.full((4, 4), -1),
        np.full((4, 4), 2**32),
        np.full((4, 4), 0.5),
        np.zeros((2, 2, 2, 2), int),
        np.zeros((0, 4), int),
    ],
    ids=["negative", "too large", "fractions", "four axes", "empty"],
)
def test_what_are_no_labels_is_not_written(labels: np.ndarray, tmp_path: Path) -> None:
    """Values that would wrap, and shapes nobody could read, are refused before the file exists."""
    with pytest.raises(InputError, match=r"a\.tif"):
        write_labels(tmp_path / "a.tif", labels)

    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_says_where(tmp_path: Path) -> None:
    """A folder that cannot be made is an InputError with the path."""
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(InputError, match="cannot be written"):
        write_labels(tmp_path / "file" / "a.tif", np.ones((4, 4), int))


def test_probabilities_keep_their_classes(tmp_path: Path) -> None:
    """Probabilities of a plane or a stack come back with the classes first."""
    for shape in [(3, 9, 8), (3, 4, 9, 8), (1, 9, 8)]:
        probabilities = RNG.random(shape).astype(np.float32)
        write_probabilities(tmp_path / "a.tif", probabilities)
        np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), probabilities)


def test_labels_of_other_programs_are_understood(tmp_path: Path) -> None:
    """Palette indices, grey colour, whole floats, masks and nameless stacks are labels."""
    numbers = noise(9, 8, dtype="uint8") % 9
    palette = Image.fromarray(numbers).convert("P")
    palette.putdata(numbers.ravel().tolist())
    palette.putpalette(RNG.integers(0, 256, 768).tolist())
    palette.save(tmp_path / "palette.png")
    Image.fromarray(numbers).convert("RGB").save(tmp_path / "grey.png")
    tifffile.imwrite(tmp_path / "float.tif", numbers.astype(np.float32))
    planes = {"photometric": "rgb", "planarconfig": "separate"}
    tifffile.imwrite(tmp_path / "planes.tif", np.stack([numbers] * 3), **planes)
    tifffile.imwrite(tmp_path / "mask.tif", numbers > 4)

    for name in ("palette.png", "grey.png", "float.tif"):
        np.testing.assert_array_equal(read_labels(tmp_path / name), numbers)
        assert read_labels(tmp_path / name).dtype.kind in "iu"
    np.testing.assert_array_equal(read_labels(tmp_path / "planes.tif"), np.stack([numbers] * 3))
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.tif"), numbers > 4)


def test_labels_with_nan_outside_of_cells_are_refused_with_a_remedy(tmp_path: Path) -> None:
    """Whether that is background or not labelled is not for us to say; fractions are no labels."""
    numbers = np.full((6, 7), np.nan, np.float32)
    numbers[2:4, 2:4] = 3
    tifffile.imwrite(tmp_path / "nan.tif", numbers)
    tifffile.imwrite(tmp_path / "halves.tif", numbers / 2)

    with pytest.raises(
        InputError, match=r"nan\.tif: The labels hold NaN \(38 px\).*numpy\.nan_to_num"
    ):
        read_labels(tmp_path / "nan.tif")
    with pytest.raises(
        InputError, match=r"The labels hold float32 values; labels are whole numbers"
    ):
        read_labels(tmp_path / "halves.tif")


def test_grey_of_few_bits_has_the_numbers_that_are_in_the_file(tmp_path: Path) -> None:
    """Classes 1, 2, 3 of a PNG that was made small are not 85, 170, 255."""
    for bits in (2, 4):
        numbers = np.arange(24, dtype=np.uint8).reshape(3, 8) % 2**bits
        path = tmp_path / f"{bits}.png"
        path.write_bytes(small_png(numbers, bits))
        np.testing.assert_array_equal(read_labels(path), numbers)
        np.testing.assert_array_equal(read_image(path)[0], numbers)
    for most in (3, 255, 300, 65535):
        numbers = np.linspace(0, most, 24, dtype=np.uint16).reshape(3, 8)
        stored = numbers.astype(np.uint8 if most < 256 else ">u2").tobytes()
        (tmp_path / f"{most}.pgm").write_bytes(b"P5\n8 3\n%d\n" % most + stored)
        text = " ".join(map(str, numbers.ravel()))
        (tmp_path / f"{most}-plain.pgm").write_text(f"P2\n8 3\n{most}\n{text}\n")
        for name in (f"{most}.pgm", f"{most}-plain.pgm"):
            np.testing.assert_array_equal(read_labels(tmp_path / name), numbers)


def small_png(numbers: NDArray[np.uint8], bits: int) -> bytes:
    """Return a grey PNG of 2 or 4 bits, which Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    height, width = numbers.shape
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    each = np.unpackbits(numbers[..., None], axis=-1)[..., 8 - bits :]
    rows = np.packbits(each.reshape(height, -1), axis=1)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("reader", ["read_labels", "open_image"])
def test_packed_pixels_are_refused_with_a_remedy_where_nothing_unpacks_them(
    reader: str, tmp_path: Path
) -> None:
    """Cameras write 12 bits; the file is not damaged."""
    data = bytes(6 * 12)
    tags = ((256, 8), (257, 6), (258, 12), (259, 1), (262, 1), (273, 122), (277, 1), (278, 6))
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in (*tags, (279, len(data)))]
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + b"".join(entries) + bytes(4)
    (tmp_path / "camera.tif").write_bytes(head + data)
    code = (
        "import sys; sys.modules['imagecodecs'] = None\n"
        "from napari_unet.engine.files import read_labels\n"
        "from napari_unet.engine.formats.imagefile import open_image\n"
        f"{reader}('camera.tif')\n"
    )

    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert "InputError: camera.tif has pixels of 12 bits" in run.stderr
    assert "run 'pip install imagecodecs', or save it with 8 or 16 bits" in run.stderr


def test_colours_of_16_bits_are_refused_in_any_format(tmp_path: Path) -> None:
    """Only 8 of them could be read, and different labels would become the same."""
    content = b"P6\n2 1\n65535\n" + bytes(range(12))
    (tmp_path / "a.ppm").write_bytes(content)
    Image.fromarray(noise(9, 8, 3, dtype="uint8")).save(tmp_path / "b.jp2", irreversible=False)
    eight = (tmp_path / "b.jp2").read_bytes()
    at = eight.index(b"\xff\x4f\xff\x51") + 42
    (tmp_path / "c.jp2").write_bytes(eight[:at] + b"\x0f\x01\x01" * 3 + eight[at + 9 :])

    assert read_image(tmp_path / "b.jp2").shape == (3, 9, 8)
    for name in ("a.ppm", "c.jp2"):
        with pytest.raises(InputError, match=r"has 16 bits for each of RGB"):
            read_image(tmp_path / name)


def test_what_cannot_be_labels_is_refused(tmp_path: Path) -> None:
    """Colours, fractions, infinity, channels and JPEG's approximate numbers are no labels."""
    Image.fromarray(noise(9, 8, 3, dtype="uint8")).save(tmp_path / "colour.png")
    Image.fromarray(noise(9, 8, dtype="uint8")).save(tmp_path / "approximate.jpg")
    tifffile.imwrite(tmp_path / "half.tif", np.full((9, 8), 0.5))
    tifffile.imwrite(tmp_path / "endless.tif", np.full((9, 8), np.inf))
    tifffile.imwrite(tmp_path / "huge.tif", np.full((9, 8), 1e30))
    tifffile.imwrite(tmp_path / "channels.tif", noise(2, 9, 8), ome=True, metadata={"axes": "CYX"})

    wrong = ("half.tif", "endless.tif", "huge.tif")
    for name in ("colour.png", "approximate.jpg", *wrong, "channels.tif"):
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            read_labels(tmp_path / name)
