"""What the names of an image and of its labels have in common, as many programs write them.

A last word labels, label, lbl, masks, mask, gt, cp_masks or seg (Cellpose), labelled (QuPath),
regions or region behind one of ``_ - .``, a last ``_Object Identities`` or ``_Simple Segmentation``
(ilastik), and a first ``LblImg_`` (TrackMate), in any case, say that a file is the labels of what
the rest names.

Less is said by a last word img or image, and by a word before a number: ``t007`` and
``man_seg007``, ``mask007`` or ``man_track007`` (Cell Tracking Challenge), ``image_7`` and
``mask_7``; and by a last ``_0000``, the first channel of nnU-Net. Such files are a pair if nothing
else would be.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath

__all__ = ["composed", "in_common", "without_image_word", "without_label_word", "without_suffix"]

DOUBLE = re.compile(r"\.(ome|nii)$", re.IGNORECASE)
"""What stands before the suffix and belongs to it: ``.ome.tif``, ``.nii.gz``."""

LABELS = re.compile(
    r"[_.-](labels?|labelled|lbl|gt|cp_masks|masks?|regions?|seg)$"
    r"|_(object identities|simple segmentation)$|^lblimg_",
    re.IGNORECASE,
)
IMAGE = re.compile(r"[_.-](img|image)$", re.IGNORECASE)
FIRST_CHANNEL = re.compile(r"(?<=.)_0000$")
BEFORE_NUMBER = re.compile(
    r"^(t|im(age|g)?|masks?|labels?|man_seg|man_track)[_-]?(?=\d+$)", re.IGNORECASE
)


def composed(name: str) -> str:
    """Return a name whose accents are written in one way: macOS writes them behind their letter."""
    return unicodedata.normalize("NFC", name)


def without_suffix(name: str) -> str:
    """Return the name of a file without its suffix, single or double."""
    stem = PurePath(name).stem
    return DOUBLE.sub("", stem) or stem


def without_label_word(name: str) -> str:
    """Return a name, without a suffix, less what says that it is of labels."""
    return LABELS.sub("", name, count=1) or name


def without_image_word(name: str) -> str:
    """Return a name, without a suffix, less what says that it is of an image."""
    return IMAGE.sub("", name) or name


def in_common(name: str) -> str:
    """Return what is left of a name without any of these words."""
    number = BEFORE_NUMBER.sub("", without_image_word(without_label_word(name)))
    return FIRST_CHANNEL.sub("", number)
