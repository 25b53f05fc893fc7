"""Train on what is painted: sources, one training, its job, resuming, live mode, what it said."""
