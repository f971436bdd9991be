"""Plans: the rows that a job is made from, read and written."""
