"""`python -m pseudoword` is the `pseudoword` command."""

from pseudoword.cli.app import main

main()
