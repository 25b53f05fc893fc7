"""Models for other programs, as packages of bioimage.io."""
