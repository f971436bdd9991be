"""`python -m leadconnector_async` is the command `leadconnector`."""

from .cli import main

if __name__ == "__main__":
    main()
