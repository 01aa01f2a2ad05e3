"""Migrations in order; each room fills those of its tables."""
