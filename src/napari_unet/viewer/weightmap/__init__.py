"""Show the boundary weight map of what is painted, box by box."""
