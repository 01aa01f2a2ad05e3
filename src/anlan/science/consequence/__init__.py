"""What a release, fire or explosion does: source terms, dispersion, fire, explosion, harm and risk, in SI units."""
