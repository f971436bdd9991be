"""From plan to checked and ordered rows: nothing is changed in the calendar yet."""
