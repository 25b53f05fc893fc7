"""Go to what is doubtful, verify cells, and take predicted ones over into the labels."""
