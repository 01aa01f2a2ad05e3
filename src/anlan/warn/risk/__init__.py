"""Live risk of units, areas, enterprises and the site, by risk models that are data."""
