"""What the operating system gives: files and their locks, threads, and interrupts."""
