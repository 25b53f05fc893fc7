"""Generators of frozen events: training, inference, files, and the processes they run in."""
