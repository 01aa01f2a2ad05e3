"""Chemical industry: features, risk models and what should be sensed, as data."""
