"""The client joined to the sandbox's core in memory, in virtual time: a day of traffic runs in seconds."""
