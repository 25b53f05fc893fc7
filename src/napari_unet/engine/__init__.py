"""Generators of frozen events: training, inference, files, and the processes they run in."""

import os

# OpenMP's threads wait for each other by spinning. Where another process takes one of their cores
# they spin for whole time slices, and training falls to a tenth. Let them sleep instead; it is read
# when torch loads, so it stands here, and whoever set it before keeps their choice.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
