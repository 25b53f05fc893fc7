"""What keeps a session on disk while the user paints, and brings it back."""
