"""`python -m pseudoword` is the `pseudoword` command."""

from pseudoword.cli import main

main()
