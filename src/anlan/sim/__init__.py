"""Virtual plants and devices for the demo, for drills and for tests."""
