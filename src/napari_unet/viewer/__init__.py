"""Between napari's layers and the engine's values; jobs that run beside the viewer.

::

    what can be trained on, what is noted with a layer      layers notes
    an image layer as planes with channels                  stack
    its planes, read beside the viewer; memory for results  reading planes
    copies of what is painted; whether it lies on an image  painted placement
    training regions, and which go with which image         regions imageregions
    which part of an image is in view                       field
    what changes in labels; names beside the sliders        edits axisnames
    colours of results, classes of cells                    colours cellclasses
    the model of one viewer, and the jobs that use it       session session_job
    sentences about the last training and the last result   said
    what is odd about grey values, and in which plane       oddities
    what a closed dock showed, for the next one             shown
    one job at a time in a thread                           jobs worker
    small computations that follow painting and sliders     background
    train on what is painted                                learning/
    show what a mistake costs                               weightmap/
    segment one image, segment many                         segmenting/ batches/
    correct, and compare with the truth                     correcting/ scores/
    save the work, and do it again as a script              saving/ scripts/
    what was set for good; names for files                  preferences filenames
    files that napari opens with this program               open_zarr open_cellpose
"""
