"""Generators of frozen events, and what they are made of.

::

    training.py       learning/   data, steps, recipes, validation, fitting
    inference.py                  plane by plane and tile by tile; blocks.py for huge planes
    batch.py          items/      images as items, their units of work and records
    cluster.py                    the same units in other processes and on other machines
    files.py          formats/    TIFF, OME-Zarr, plates, pictures, what readers of napari open
    host.py           process/    the compute process, its channel, and what it runs
                      saving/     a session on disk while the user paints
"""

import os

# What follows is read when torch loads, so it stands here; whoever set it before keeps their
# choice.
#
# OpenMP's threads wait for each other by spinning. Where another process takes one of their cores
# they spin for whole time slices, and training falls to a third. Let them sleep instead; but only
# after about a thousand turns, or waking them between two layers costs a fifth of the speed (the
# second line, for GNU's OpenMP).
if "GOMP_SPINCOUNT" not in os.environ and "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"
    os.environ["GOMP_SPINCOUNT"] = "1000"
# Linux hands out memory in pages of 4 KiB, and a layer touches thousands of new ones: a fifth of
# the time of a forward pass. Let torch ask for huge pages.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
