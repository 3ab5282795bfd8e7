"""What each command does, one file per command.

`api` has a public function of the same name for each. Imports `benchmark` and the floors below it;
commands do not import each other.
"""
