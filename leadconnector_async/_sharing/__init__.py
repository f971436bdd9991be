"""What processes share: the store, and the budget of each location."""
