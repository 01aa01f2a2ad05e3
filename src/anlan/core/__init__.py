"""What every floor speaks: batches, quality, events, ids, time, units, errors, actors."""
