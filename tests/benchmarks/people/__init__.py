"""How long people wait beside bulk jobs: real processes, and a sandbox that counts in six ways."""
