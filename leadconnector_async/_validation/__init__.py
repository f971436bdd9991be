"""Validation of what users pass: settings, arguments and times; and text made safe to display."""
