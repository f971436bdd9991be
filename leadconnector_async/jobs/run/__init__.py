"""Carrying out the rows of a job, location by location."""
