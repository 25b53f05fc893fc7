"""Generators of frozen events, and what they are made of.

::

    training                training learning/
    segmenting              inference volume findmagnification pixelsize
    a plane, tile by tile   plane tilerunner coarser magnified lazyplane memory
    a huge one, in blocks   blocks planestore
    cells, without torch    cells checkedimage greycolour
    many images             batch items/
    on other machines       cluster slurm daskexecutor clusterworker
    a model                 segmenter modelfile starter exporting/
    images as files         files formats/
    results as files        measurements objecttable classtable outlinefile tracks
    the compute process     host process/ scoring
    a session on disk       saving/
    this computer           device callersettings cgroups speed liveness namesake
    all over                events atomic
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
