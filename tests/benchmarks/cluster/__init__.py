"""Jobs in Postgres: taking a plan in, what the engine costs, fairness."""
