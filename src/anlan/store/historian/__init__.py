"""The historian: time series in ClickHouse, embedded or on a server."""
