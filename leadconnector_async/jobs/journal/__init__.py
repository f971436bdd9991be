"""The journal of a job: everything that must survive the process, and all SQL of jobs."""
