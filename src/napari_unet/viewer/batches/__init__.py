"""Segment many images, open or on disk, and show what became of each."""
