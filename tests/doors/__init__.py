"""Who is let in at the doors, and what is written down of those who are not."""
