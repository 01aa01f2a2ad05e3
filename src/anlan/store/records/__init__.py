"""The records: SQL through SQLAlchemy on SQLite or PostgreSQL."""
