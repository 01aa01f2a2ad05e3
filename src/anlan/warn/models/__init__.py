"""Versions of warning models: definition and file, hashed and signed, and which of them run."""
