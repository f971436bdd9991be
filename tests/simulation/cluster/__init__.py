"""Workers that share jobs in one database, in virtual time, with everything that can go wrong."""
