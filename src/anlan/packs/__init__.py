"""Industry packs: data, not code. Each is found by the entry-point group `anlan.packs`."""
