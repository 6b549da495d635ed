"""What every door shows, as data: a run at one moment, and questions in words."""
