"""How a word is learned.

The loop, its step, its loss, what is drawn at random, optimisers and rates, when to stop, and what
memory all that takes. It knows nothing of folders and commands: `runs` calls it. Imports `data`,
`methods`, `models` and the floors below them."""
