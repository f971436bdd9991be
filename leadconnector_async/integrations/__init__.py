"""What needs a driver from an extra: one module each, loaded only when it is used."""
