"""One file for each command: what it does, behind the function of the same name in `api`.

Imports every floor but `api` and `cli`. Commands do not import each other."""
