"""Files of any size are opened in no time and no memory, and say what they are."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import npe2
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.engine.files import read_image, read_labels, write_labels, write_probabilities
from napari_unet.engine.formats.findfiles import find_images, relative_name
from napari_unet.engine.formats.imagefile import open_image
from napari_unet.engine.formats.source import PixelSize
from napari_unet.engine.formats.tiffwriter import write_tiff
from napari_unet.errors import InputError

RNG = np.random.default_rng(0)
MICROMETRES = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]
TCZYX = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, *MICROMETRES]


def noise(*shape: int) -> np.ndarray:
    """Numbers that do not repeat along any axis."""
    return RNG.integers(0, 2**16, shape).astype(np.uint16)


def ome_zarr(path: Path, pixels: np.ndarray, axes: list[Any], version: str = "0.5") -> Path:
    """Write an image of one level, of 2 x 2 x 0.5 x 0.25 pixels, as the specification says."""
    scale = [1.0] * pixels.ndim
    scale[-3:] = (2.0, 0.5, 0.25)[-min(pixels.ndim, 3) :]
    transforms = [{"type": "scale", "scale": scale}]
    image: dict[str, Any] = {
        "axes": axes,
        "datasets": [{"path": "full", "coordinateTransformations": transforms}],
    }
    v2 = version == "0.4"
    attributes: dict[str, Any] = {"multiscales": [image | ({"version": "0.4"} if v2 else {})]}
    attributes = attributes if v2 else {"ome": {"version": version, **attributes}}
    group = zarr.create_group(path, zarr_format=2 if v2 else 3, attributes=attributes)
    chunks = (*[1] * (pixels.ndim - 2), 16, 16)
    group.create_array("full", data=pixels, chunks=chunks)
    return path


def plate(path: Path, version: str = "0.5") -> Path:
    """Write a plate of three wells, one of them with two fields, as the specification says."""
    v2 = version == "0.4"
    fields = {"A/1": ["0", "1"], "A/10": ["0"], "B/2": ["0"]}

    def group(folder: Path, **attributes: Any) -> None:
        attributes = attributes if v2 else {"ome": {"version": version, **attributes}}
        zarr.create_group(folder, zarr_format=2 if v2 else 3, attributes=attributes)

    group(path, plate={"wells": [{"path": well} for well in fields]})
    for well, names in fields.items():
        group(path / well, well={"images": [{"path": name} for name in names]})
        for name in names:
            ome_zarr(path / well / name, noise(20, 20), MICROMETRES[1:], version)
    return path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_ome_zarr_image_says_what_its_axes_are(version: str, tmp_path: Path) -> None:
    """Channels first, T and Z as planes, and the sizes of the metadata, of zarr 2 and 3."""
    pixels = noise(2, 3, 4, 20, 30)
    path = ome_zarr(tmp_path / "a.ome.zarr", pixels, TCZYX, version)

    image = open_image(path)

    expected = pixels.transpose(1, 0, 2, 3, 4).reshape(3, 8, 20, 30)
    assert image.data.shape == expected.shape
    assert (image.plane_axes, image.plane_shape) == ("TZ", (2, 4))
    assert image.pixel_size == PixelSize((0.5, 0.25), "micrometer", 2.0)
    np.testing.assert_array_equal(image.data[1:, 6, :5, 17:], expected[1:, 6, :5, 17:])
    np.testing.assert_array_equal(read_image(path), expected)


def test_axes_of_older_versions_are_understood(tmp_path: Path) -> None:
    """Version 0.3 has only names, before that there is nothing but an order."""
    plain = ome_zarr(tmp_path / "b", noise(1, 2, 1, 20, 20), [*"tczyx"], "0.4")
    oldest = ome_zarr(tmp_path / "c", noise(1, 2, 1, 20, 20), [], "0.4")

    for path in (plain, oldest):
        assert open_image(path).data.shape == (2, 20, 20)
        assert open_image(path).plane_axes == ""


def test_single_arrays_of_zarr_are_images(tmp_path: Path) -> None:
    """Named axes count; of others, a last one of three is colour; one alone in a group is found."""
    zarr.create_array(tmp_path / "a", data=noise(2, 5, 9, 8), dimension_names=[*"ctyx"])
    zarr.create_array(tmp_path / "b", data=noise(9, 8, 3))
    zarr.create_array(tmp_path / "c", data=noise(4, 9, 8), zarr_format=2)
    zarr.create_group(tmp_path / "d").create_array("x", data=noise(9, 8))

    found = {path.name: open_image(path) for path in find_images(tmp_path)}

    shapes = {name: image.data.shape for name, image in found.items()}
    assert shapes == {"a": (2, 5, 9, 8), "b": (3, 9, 8), "c": (1, 4, 9, 8), "d": (1, 9, 8)}
    assert [image.plane_axes for image in found.values()] == ["T", "", "Q", ""]


def test_channels_that_nothing_names_are_no_planes(tmp_path: Path) -> None:
    """Planes of five columns would be found full of cells; a narrow stack with names is one."""
    nameless, named, narrow = (tmp_path / f"{name}.tif" for name in ("x", "named", "narrow"))
    tifffile.imwrite(nameless, noise(64, 60, 5))
    tifffile.imwrite(named, noise(64, 60, 5), ome=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(narrow, noise(7, 60, 5))

    with pytest.raises(InputError, match=r"\(64, 60, 5\) and does not say what its axes are"):
        open_image(nameless)
    assert open_image(named).data.shape == (1, 64, 60, 5)
    assert open_image(narrow).data.shape == (1, 7, 60, 5)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plate_is_its_fields(version: str, tmp_path: Path) -> None:
    """One item for each field, in natural order, however the plate is given."""
    path = plate(tmp_path / "day 1" / "plate.ome.zarr", version)
    names = ["plate/A/1/0", "plate/A/1/1", "plate/A/10/0", "plate/B/2/0"]

    fields = find_images(path)

    assert [relative_name(field, path).as_posix() for field in fields] == names
    assert find_images(tmp_path) == fields
    assert relative_name(fields[2], tmp_path) == Path("day 1/plate/A/10/0")
    row = tmp_path / "*" / "*.zarr" / "A" / "*" / "0"
    assert [relative_name(f, row).as_posix() for f in find_images(row)] == [
        "day 1/plate/A/1/0",
        "day 1/plate/A/10/0",
    ]
    assert relative_name(find_images(fields[0])[0], fields[0]) == Path(names[0])
    assert open_image(fields[3]).data.shape == (1, 20, 20)
    with pytest.raises(InputError, match=r"holds 4 images \(A/1/0 \.\.\. B/2/0\)"):
        open_image(path)


def test_what_a_converter_wraps_is_found(tmp_path: Path) -> None:
    """The numbered images of bioformats2raw are one item each; one alone is the image."""
    wrapper = {"bioformats2raw.layout": 3}
    for n in (1, 11):
        path = tmp_path / f"{n}.zarr"
        zarr.create_group(path, zarr_format=2, attributes=wrapper)
        zarr.create_group(path / "OME", zarr_format=2)
        for series in range(n):
            ome_zarr(path / str(series), noise(20, 20), MICROMETRES[1:], "0.4")

    assert open_image(tmp_path / "1.zarr").data.shape == (1, 20, 20)
    found = [relative_name(path, tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["1/0", *(f"11/{n}" for n in range(11))]


def test_folders_list_zarr_once_and_leave_out_what_is_no_input(tmp_path: Path) -> None:
    """Not the inside of zarr, what is hidden, what is partial, or what a batch remembers."""
    for name in ("a10.ome.zarr", "a2.zarr", "b/c.zarr", ".hidden.zarr", "d.zarr.partial"):
        ome_zarr(tmp_path / name, noise(20, 20), MICROMETRES[1:])
    for name in ("a3.tif", ".live-unet/x.tif", "a2.zarr/inside.tif", "e.czi", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")

    names = ["a2.zarr", "a3.tif", "a10.ome.zarr", "b/c.zarr"]
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == names
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path / "**" / "*")]
    assert found == names
    assert find_images(tmp_path / "*.czi") == [tmp_path / "e.czi"]
    assert relative_name(tmp_path / "a10.ome.zarr", tmp_path) == Path("a10")


def damage(what: str, path: Path) -> None:
    """Do to an image of zarr what happens to files."""
    if what == "chunk":
        chunk = next(p for p in sorted((path / "full" / "c").rglob("*")) if p.is_file())
        chunk.write_bytes(chunk.read_bytes()[:20])
    elif what == "array":
        shutil.rmtree(path / "full")
    elif what == "array's description":
        (path / "full" / "zarr.json").write_text("{")
    elif what == "description":
        (path / "zarr.json").unlink()
    else:
        content = json.loads((path / "zarr.json").read_text())
        image = content["attributes"]["ome"]["multiscales"][0]
        damaged = {"axes": MICROMETRES, "datasets": [{"path": "full"}]}
        image |= damaged if what == "axes" else {"datasets": {}}
        (path / "zarr.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("chunk", "could not be read"),
        ("array", "names the array full, which is not there"),
        ("array's description", "cannot be read as zarr"),
        ("description", "is not a zarr folder"),
        ("axes", "metadata of 3 axes"),
        ("datasets", "cannot be understood"),
    ],
)
def test_damaged_zarr_is_one_clear_error(what: str, message: str, tmp_path: Path) -> None:
    """The path and the reason; the image is found all the same, so that it is missed."""
    path = ome_zarr(tmp_path / "a.ome.zarr", noise(40, 40), MICROMETRES[1:])
    damage(what, path)

    assert find_images(tmp_path) == [path]
    with pytest.raises(InputError, match=message) as caught:
        np.asarray(open_image(path).data)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("blosc", [numcodecs.Blosc(), zarr.codecs.BloscCodec()])
def test_a_chunk_of_blosc_that_is_cut_short_is_missed(blosc: Any, tmp_path: Path) -> None:
    """Its decoder goes on with whatever is in memory, and pixels of no image would be segmented."""
    pixels, form = noise(64, 64), 2 if isinstance(blosc, numcodecs.Blosc) else 3
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=form)
    group.create_array("0", data=pixels, chunks=(32, 32), compressors=blosc)
    for path in (tmp_path / "a.zarr", tmp_path / "a.zarr" / "0"):
        np.testing.assert_array_equal(np.asarray(open_image(path).data)[0], pixels)
    chunk = next(p for p in sorted((tmp_path / "a.zarr").rglob("*0")) if p.is_file())
    whole = chunk.read_bytes()

    for size in (0, 10, 50, len(whole) - 1):
        chunk.write_bytes(whole[:size])
        for path in (tmp_path / "a.zarr", tmp_path / "a.zarr" / "0"):
            with pytest.raises(InputError, match=rf"is cut short: {size} of \d+ bytes"):
                np.asarray(open_image(path).data)


def test_groups_that_are_no_image_say_so(tmp_path: Path) -> None:
    """Several arrays without metadata, a row of numbers, nothing at all, and no file."""
    group = zarr.create_group(tmp_path / "several.zarr")
    for name in "ab":
        group.create_array(name, data=noise(9, 8))
    zarr.create_array(tmp_path / "row.zarr", data=noise(9))
    zarr.create_group(tmp_path / "empty.zarr")

    for name, message in {
        "several": "a zarr group of 2 arrays",
        "empty": "a zarr group of 0 arrays",
        "row": "not a picture",
        "gone": "There is no file",
    }.items():
        with pytest.raises(InputError, match=message):
            open_image(tmp_path / f"{name}.zarr")


SIZES: dict[str, tuple[dict[str, Any], PixelSize]] = {
    "OME": (
        {
            "ome": True,
            "metadata": {
                "axes": "ZYX",
                "PhysicalSizeX": 250.0,
                "PhysicalSizeXUnit": "nm",
                "PhysicalSizeY": 500.0,
                "PhysicalSizeYUnit": "nm",
                "PhysicalSizeZ": 2000.0,
                "PhysicalSizeZUnit": "nm",
            },
        },
        PixelSize((500.0, 250.0), "nanometer", 2000.0),
    ),
    "ImageJ": (
        {
            "imagej": True,
            "resolution": (4.0, 2.0),
            "metadata": {"axes": "ZYX", "unit": "\\u00B5m", "spacing": 2.0},
        },
        PixelSize((0.5, 0.25), "micrometer", 2.0),
    ),
    "a movie of OME": (
        {
            "ome": True,
            "metadata": {
                "axes": "TYX",
                "PhysicalSizeX": 0.25,
                "PhysicalSizeY": 0.5,
                "TimeIncrement": 1.5,
                "TimeIncrementUnit": "min",
            },
        },
        PixelSize((0.5, 0.25), "micrometer", frame=90.0),
    ),
    "a movie of ImageJ": (
        {"imagej": True, "metadata": {"axes": "TYX", "finterval": 300.0, "tunit": "ms"}},
        PixelSize(frame=0.3),
    ),
    "pixels": (
        {"imagej": True, "resolution": (1.0, 1.0), "metadata": {"axes": "ZYX", "unit": "pixel"}},
        PixelSize(),
    ),
    "a printer's": (
        {"resolution": (300, 300), "resolutionunit": "INCH", "metadata": {"axes": "ZYX"}},
        PixelSize(),
    ),
    "a printer's, saved by ImageJ": (
        {"imagej": True, "resolution": (72, 72), "metadata": {"axes": "ZYX", "unit": "inch"}},
        PixelSize(),
    ),
}


@pytest.mark.parametrize("case", SIZES)
def test_tiff_files_say_how_large_a_pixel_is(case: str, tmp_path: Path) -> None:
    """As OME and ImageJ write it; dots per inch say nothing about what was photographed."""
    options, expected = SIZES[case]
    tifffile.imwrite(tmp_path / "a.tif", noise(5, 9, 8), **options)

    image = open_image(tmp_path / "a.tif")
    assert image.pixel_size == expected


def test_results_keep_axes_and_sizes_of_their_image(tmp_path: Path) -> None:
    """Labels and probabilities of a stack (T, Z) have its T and Z, and the size of its pixels."""
    options = SIZES["OME"][0]
    options["metadata"] |= {"axes": "TZYX", "TimeIncrement": 90.0}
    tifffile.imwrite(tmp_path / "a.ome.tif", noise(2, 3, 9, 8), **options)
    image = open_image(tmp_path / "a.ome.tif")
    labels = np.arange(6 * 72).reshape(6, 9, 8)
    known: dict[str, Any] = {
        "axes": f"{image.plane_axes}YX",
        "plane_shape": image.plane_shape,
        "pixel_size": image.pixel_size,
    }

    write_labels(tmp_path / "l.tif", labels, **known)
    write_probabilities(tmp_path / "p.tif", np.ones((2, 6, 9, 8), np.float32), **known)

    np.testing.assert_array_equal(read_labels(tmp_path / "l.tif"), labels)
    for name, axes in {"l.tif": "TZYX", "p.tif": "CTZYX"}.items():
        result = open_image(tmp_path / name)
        assert (result.plane_axes, result.plane_shape) == ("TZ", (2, 3))
        assert result.pixel_size == image.pixel_size
        assert (result.pixel_size.unit, result.pixel_size.z) == ("nanometer", 2000.0)
        assert result.pixel_size.frame == 90.0
        with tifffile.TiffFile(tmp_path / name) as tif:
            assert tif.series[0].axes == axes
    known["axes"] = "QIYX"
    write_labels(tmp_path / "q.tif", labels, **known)
    assert open_image(tmp_path / "q.tif").plane_axes == "Z"


def test_labels_are_written_plane_by_plane(tmp_path: Path) -> None:
    """A stack in zarr becomes a file with one plane in memory, and is the same file as NumPy's."""
    labels = np.zeros((16, 512, 512), np.uint32)
    labels[:, 100:200, 100:200] = np.arange(16)[:, None, None] + 65530
    stored = zarr.create_array(tmp_path / "a", data=labels, chunks=(1, 512, 512))
    write_labels(tmp_path / "numpy.tif", labels)

    tracemalloc.start()
    write_labels(tmp_path / "zarr.tif", stored)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (tmp_path / "zarr.tif").read_bytes() == (tmp_path / "numpy.tif").read_bytes()
    assert peak < labels.nbytes / 2, f"{peak / 2**20:.1f} of {labels.nbytes / 2**20:.1f} MiB"


def test_a_large_plane_is_written_tile_by_tile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one plane has to fit into memory, and regions of the file can be read again."""
    labels = np.zeros((2, 1500, 2100), np.uint32)
    labels[1, 1400:, 2000:] = RNG.integers(0, 70000, (100, 100))
    stored = zarr.create_array(tmp_path / "a", data=labels, chunks=(1, 512, 512))
    monkeypatch.setattr("napari_unet.engine.formats.tiffwriter.LARGEST_PLANE", 2**20)
    monkeypatch.setattr("napari_unet.engine.formats.tiff.LARGEST_PAGE", 2**20)

    tracemalloc.start()
    write_labels(tmp_path / "a.tif", stored)
    image = open_image(tmp_path / "a.tif")
    region = image.data[0, 1, 1300:1500, 1990:2090]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    np.testing.assert_array_equal(region, labels[1, 1300:1500, 1990:2090])
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif"), labels)
    assert (image.plane_axes, image.data.chunks) == ("Z", (1, 1, 1024, 1024))
    assert peak < 20 * 2**20, f"{peak / 2**20:.1f} of {labels.nbytes / 2**20:.1f} MiB"


def large(kind: str, folder: Path) -> Path:
    """Make an image of 2 GB that takes no space: 16-bit, all 0 but for one block of 7."""
    path = folder / "large"
    if kind == "zarr":
        array = zarr.create_array(path, shape=(32768, 32768), chunks=(512, 512), dtype="u2")
        array[20000:20010, 30000:30010] = np.full((10, 10), 7)
        return path
    pixels = tifffile.memmap(path, shape=(32768, 32768), dtype="u2", bigtiff=True)
    pixels[20000:20010, 30000:30010] = 7
    pixels.flush()
    return path


@pytest.mark.parametrize("kind", ["zarr", "uncompressed TIFF"])
def test_a_large_image_is_opened_without_reading_it(kind: str, tmp_path: Path) -> None:
    """Of 2 GB, opening allocates nothing, and a region little more than itself."""
    path = large(kind, tmp_path)
    tracemalloc.start()
    image = open_image(path)
    region = image.data[:, 19990:20020, 29990:30020]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert image.data.shape == (1, 32768, 32768)
    assert (region == 7).sum() == 100
    assert peak < 8 * 2**20, f"{peak / 2**20:.1f} MiB"


@pytest.mark.parametrize("largest", [2**27, 0])
def test_a_compressed_stack_is_read_plane_by_plane(
    largest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One plane of many is decoded, or only some strips of one that is very large."""
    monkeypatch.setattr("napari_unet.engine.formats.tiff.LARGEST_PAGE", largest)
    pixels = np.broadcast_to(noise(1024, 1024), (12, 1024, 1024)).copy()
    write_tiff(tmp_path / "a.tif", pixels, "TYX", np.uint16)
    tracemalloc.start()
    image = open_image(tmp_path / "a.tif")
    region = image.data[:, 7, 10:20, 30:50]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    np.testing.assert_array_equal(region[0], pixels[7, 10:20, 30:50])
    assert peak < (8 if largest else 3) * 2**20, f"{peak / 2**20:.1f} of 24 MiB"


@pytest.mark.parametrize("change", ["gone", "cut short"])
def test_a_file_that_changes_after_it_was_opened_is_an_error(change: str, tmp_path: Path) -> None:
    """A share that drops, or somebody who writes it again: one file fails, the program goes on."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(20, 64, 64), metadata={"axes": "TYX"})
    image = open_image(path)
    assert image.data[:, 3].any()
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:9000])

    with pytest.raises(InputError, match=r"pixels of .*a\.tif could not be read"):
        image.data[:, 15]


def test_a_tiff_that_is_opened_is_closed_with_its_array(tmp_path: Path) -> None:
    """No file stays open: thousands of them can be opened one after the other."""
    import psutil

    write_tiff(tmp_path / "a.tif", noise(2, 9, 8), "TYX", np.uint16)
    image = open_image(tmp_path / "a.tif")
    image.data[:, 0]
    opened = {file.path for file in psutil.Process().open_files()}
    del image

    assert str(tmp_path / "a.tif") in opened
    assert str(tmp_path / "a.tif") not in {file.path for file in psutil.Process().open_files()}


def test_other_files_are_opened_by_a_plugin(tmp_path: Path) -> None:
    """What an installed reader of napari knows is an image too; what none knows is an error."""
    pixels = noise(5, 9, 8)
    np.save(tmp_path / "a.npy", pixels)
    (tmp_path / "a.unknown").write_bytes(b"nobody knows")

    np.testing.assert_array_equal(open_image(tmp_path / "a.npy").data, pixels[None])
    np.testing.assert_array_equal(read_image(tmp_path / "a.npy"), pixels[None])
    np.save(tmp_path / "row.npy", np.arange(5))
    with pytest.raises(InputError, match="not a picture"):
        open_image(tmp_path / "row.npy")
    with pytest.raises(InputError, match=r"a\.unknown cannot be read as an image; save it as TIFF"):
        open_image(tmp_path / "a.unknown")
    (tmp_path / "b.npy").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"b\.npy could not be .* plugin napari .*; save it as"):
        open_image(tmp_path / "b.npy")


@pytest.mark.parametrize("name", ["a.npy", "a.zarr"])
def test_values_behind_rows_and_columns_are_samples(tmp_path: Path, name: str) -> None:
    """As ilastik exports labels, with one, and as pictures are saved, with three; never planes."""
    pixels, path = noise(9, 8, 3), tmp_path / name
    for colours in (pixels[..., :1], pixels):
        if name == "a.npy":
            np.save(path, colours)
        else:
            zarr.save_array(path, colours, mode="w")
        np.testing.assert_array_equal(read_image(path), np.moveaxis(colours, -1, 0))
        np.testing.assert_array_equal(open_image(path).data, np.moveaxis(colours, -1, 0))
        if colours.shape[-1] == 1:
            np.testing.assert_array_equal(read_labels(path), colours[..., 0])


def test_what_no_reader_knows_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """Files of microscopes, outlines, HDF5, which Pillow knows by name only, and damaged PNG."""
    files = {
        "a.czi": (b"ZISRAWFILE" + bytes(90), "install a napari plugin"),
        "a.lif": (b"\x70\0\0\0" + bytes(90), "install a napari plugin"),
        "a_rois.zip": (b"PK\3\4" + bytes(90), "one number in each pixel"),
        "a.geojson": (b'{"type": "FeatureCollection"}', "one number in each pixel"),
        "a.h5": (b"\x89HDF\r\n\x1a\n" + bytes(90), "save it as OME-TIFF"),
        "a.png": (b"no picture", "Copy or export it again"),
    }
    for name, (content, remedy) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name} c(annot|ould not) be read .*{remedy}"):
            read_labels(tmp_path / name)


def test_a_plugin_says_which_axes_are_what(tmp_path: Path) -> None:
    """Channels, planes, units and the finest of several resolutions, and only what is indexed."""
    pixels = noise(3, 2, 4, 9, 8)
    array = zarr.create_array(tmp_path / "inside", data=pixels, chunks=(1, 1, 1, 9, 8))
    shown = {
        "channel_axis": 1,
        "axis_labels": ("t", "z", "y", "x"),
        "scale": (1, 2.0, 0.5, 0.25),
        "units": ("s", "um", "um", "um"),
        "multiscale": True,
    }
    (tmp_path / "a.scope").write_bytes(b"of a microscope")
    with npe2.DynamicPlugin("of-a-microscope") as plugin:

        @plugin.contribute.reader(filename_patterns=["*.scope"])
        def get_reader(path: str) -> Any:
            assert path == str(tmp_path / "a.scope")
            return lambda _: [([array, array], shown, "image")]

        image = open_image(tmp_path / "a.scope")

    expected = pixels.transpose(1, 0, 2, 3, 4).reshape(2, 12, 9, 8)
    assert image.data.shape == expected.shape
    assert (image.plane_axes, image.plane_shape) == ("TZ", (3, 4))
    assert image.pixel_size == PixelSize((0.5, 0.25), "micrometer", 2.0)
    for chunk in (tmp_path / "inside" / "c" / "0").rglob("0"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    np.testing.assert_array_equal(image.data[1, 7, 2:], expected[1, 7, 2:])
    with pytest.raises(InputError, match=r"pixels of .*a\.scope could not be read"):
        image.data[:, 0]


def test_looking_for_a_plugin_loads_no_napari(tmp_path: Path) -> None:
    """Only a reader that is used may load it."""
    (tmp_path / "a.unknown").write_bytes(b"nobody knows")
    code = f"""
import sys
from napari_unet.engine.formats.imagefile import open_image
from napari_unet.errors import InputError
try:
    open_image({str(tmp_path / "a.unknown")!r})
except InputError:
    print(*sorted({{"napari", "qtpy", "magicgui", "torch"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
