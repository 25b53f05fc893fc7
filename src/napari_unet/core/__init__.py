"""Arrays in, arrays out: the network, its geometry and the numbers around it.

::

    settings and arguments  config given
    what is painted         annotation summary cellclasses doubt unnumbered
    what a mistake costs    boundary borderterm nearesttwo nearesttwo_numba nearesttwo_torch
    what is learned from    normalise augment flow
    the network             unet leanpass silent wider
    in other programs       portable onnxgraph
    tiles and resolutions   tiles resolution coarseness resized rotation outward
    cells of a plane        instances islands flood flood_numba necks necks_numba giveback
    cells through planes    linkstack linking pieces objectcuts necks3d
    what is known of them   diameters measure measure3d outlines uncertainty acceptance
    how right they are      metrics comparison classcomparison overlaps touching warping
    quick arithmetic        lookup compiled
"""
