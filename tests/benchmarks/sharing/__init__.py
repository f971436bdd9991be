"""`sharing`: several processes on one location, with a shared store and without one, beside other libraries."""
