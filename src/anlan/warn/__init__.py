"""Early warning: risk features, detectors and risk models on the live path, warnings and how good they were."""
