"""Processes are killed, doors race, steps are cut short: nothing is lost, doubled or given to the wrong worker."""
