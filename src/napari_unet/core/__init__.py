"""Arrays in, arrays out: the network, its geometry and the numbers around it."""
