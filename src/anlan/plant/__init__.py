"""The plant as data: site files, the compiled plant, the registry of point numbers."""
