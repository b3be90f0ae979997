"""`python -m grail_framework` is `grail`; launchers of several processes need a module."""

from grail_framework.cli.main import main

if __name__ == "__main__":
    main()
