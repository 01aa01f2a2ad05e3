"""Where things rest: the fabric (log, messages), the historian (time series), the records (SQL)."""
