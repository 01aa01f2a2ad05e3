"""Pure numerics, usable alone as a library: no input or output, no clock, nothing of the node."""
