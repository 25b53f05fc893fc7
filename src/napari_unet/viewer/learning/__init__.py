"""Train on what is painted: sources, one training and its job, live mode, what it said."""
