"""Between napari's layers and the engine's values; jobs that run beside the viewer.

::

    layers to values        layers notes painted stack planes placement field reading
    training regions        regions imageregions
    what the user does      edits axisnames learning/ correcting/
    how layers look         colours cellclasses weightmap/
    one viewer's work       session session_job said jobs worker background shown
    segmenting              segmenting/ batches/ scores/
    kept and said           saving/ scripts/ preferences open_zarr open_cellpose filenames
"""
