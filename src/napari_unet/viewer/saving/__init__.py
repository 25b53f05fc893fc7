"""Save what the user did while the program runs, and offer it back after a crash."""
