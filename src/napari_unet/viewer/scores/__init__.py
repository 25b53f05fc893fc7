"""Compare a segmentation with the truth."""
