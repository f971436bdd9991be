"""What HighLevel's API is: its operations, payloads, checks, responses and errors. Pure: nothing here does I/O."""
