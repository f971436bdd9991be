"""What to do after a failure, and how long to wait first."""
