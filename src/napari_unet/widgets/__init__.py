"""Panels that edit values and start jobs."""
