"""Warning models that come with the program, as data."""
