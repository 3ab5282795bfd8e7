"""What stands between pseudoword and a frozen base model.

Finding and loading one (`base_model`, `loading`), what each kind can do (`families`), rows put into
its text encoders (`injection`), its noise schedule, drawing with it, and whether a word fits it.
Imports `formats`, `config` and the ground floor; never a method."""
