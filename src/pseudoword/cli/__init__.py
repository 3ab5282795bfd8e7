"""The command line. Imports `api`, `config` and the ground floor, nothing else of the product."""
