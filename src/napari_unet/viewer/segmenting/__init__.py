"""Segment images into layers, and find the cells again or link them without the network."""
