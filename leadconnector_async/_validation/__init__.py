"""What users pass, checked before it is used: settings, arguments, times; and text made fit to show."""
