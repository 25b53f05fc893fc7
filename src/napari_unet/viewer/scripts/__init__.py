"""Say what the dock would do as a script and as a command line."""
