# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Draw with words that were learned
#
# A learned word is a small file. This notebook draws with such files, whichever tool made them: `.safetensors`, `.pt`,
# `.bin`, a picture with a word in it, or a repository of the hub. Run the cells from top to bottom. As they are, they
# need no GPU and download nothing.

# %%
try:
    import pseudoword
except ImportError:
    # %pip install -q pseudoword
    import pseudoword

# %%
from pathlib import Path

from IPython.display import Image

from pseudoword.notebook import EXAMPLE_WORDS, grid, table

# %% [markdown]
# ## 1. Settings
#
# For words of Stable Diffusion, use a base model that they were learned for, for example
# `"stable-diffusion-v1-5/stable-diffusion-v1-5"`. Put your files into a folder, and give it as `WORDS`.

# %% tags=["parameters"]
BASE = "emoji"
WORDS = EXAMPLE_WORDS
THINGS = ["<panda>", "<penguin>", "<pumpkin>"]
STYLE = "<emojione>"
SEED = 1  # of the first picture; the next ones have the seeds 2, 3 and so on
COUNT = 4  # pictures for each prompt
SAMPLER_STEPS = 25  # for each picture

# %% [markdown]
# ## 2. Which words are there?

# %%
DRAWN = Path("drawn")  # a folder; what is in it is replaced
gallery = pseudoword.gallery(WORDS, out=DRAWN / "gallery.png", overwrite=True)
table(
    [
        {"word": word.token, "file": Path(word.file).name, "format": word.format}
        for word in gallery.words
    ]
)

# %% [markdown]
# `gallery` has also drawn a sheet of them. One of the files is itself a picture, and holds a word all the same.

# %%
Image(gallery.sheet)

# %% [markdown]
# Words may also come from the hub, for example from `sd-concepts-library`, where people share words for Stable
# Diffusion 1. As it is, nothing is downloaded.

# %%
FROM_HUB = []  # ["sd-concepts-library/cat-toy"]

files = {word.token: word.file for word in gallery.words}
files |= {pseudoword.inspect(place).token: place for place in FROM_HUB}

# %% [markdown]
# `inspect` says what is in a file: what the word started from, and which words of the model it is near to now. Often
# they are not what you would think, since a word that is learned lies beside the known ones.

# %%
told = {token: pseudoword.inspect(file, base=BASE) for token, file in files.items()}
table(
    [
        {
            "word": token,
            "vectors": max(vectors for vectors, width in one.encoders.values()),
            "started from": one.provenance.get("init", "unknown"),
            "now nearest to": ", ".join(
                vector[0].token for vectors in one.nearest.values() for vector in vectors
            ),
        }
        for token, one in told.items()
    ]
)

# %% [markdown]
# ## 3. One word, many prompts and seeds
#
# A row is a prompt, a column is a seed. Pictures with the same seed begin from the same noise. The model is loaded once,
# and stays in memory for all of them.

# %%
model = pseudoword.load(BASE)


def draw(prompt, words=(), **settings):
    """Several pictures of a prompt; `words` are the learned words in it."""
    return pseudoword.generate(
        prompt,
        concept=[files[word] for word in words],
        token=words,
        base=model,
        n=COUNT,
        seed=SEED,
        sampler_steps=SAMPLER_STEPS,
        **settings,
    )


seeds = [f"seed {SEED + i}" for i in range(COUNT)]
thing = THINGS[0]
prompts = [
    f"a photo of a {thing}",
    f"a {thing} on a yellow background",
    f"a {thing} in blob style on a purple background",
]
grid({prompt: draw(prompt, [thing]) for prompt in prompts}, heads=seeds)

# %% [markdown]
# ## 4. With the word and without it
#
# Above, the word that training started from; below, the learned word, with the same seeds.

# %%
rows = {}
for thing in THINGS:
    init = told[thing].provenance.get("init", "thing")
    rows[f"without: a {init}"] = draw(f"a {init} on a white background")
    rows[f"with: a {thing}"] = draw(f"a {thing} on a white background", [thing])

grid(rows, heads=seeds, side_px=100)

# %% [markdown]
# ## 5. A style
#
# A style is a word, too. It was learned from drawings of other things.

# %%
known = ["robot", "cat", "car"]
rows = {}
for each in known:
    rows[f"a drawing of a {each}"] = draw(f"a drawing of a {each} on a white background")
    rows[f"a {STYLE} of a {each}"] = draw(f"a {STYLE} of a {each} on a white background", [STYLE])

grid(rows, heads=seeds, side_px=100)

# %% [markdown]
# ## 6. Two words in one prompt
#
# Two things, or a thing in a style. They were learned apart, and the model has never seen them together. The fewer
# vectors a word has, the more room it leaves for the others.

# %%
first, second = THINGS[0], THINGS[2]
rows = {
    prompt: draw(prompt, words)
    for prompt, words in {
        f"a noto of a {second} and a {first} on a teal background": [first, second],
        f"a {STYLE} of a {first} on a blue background": [STYLE, first],
        f"a {STYLE} of a {second} on a teal background": [STYLE, second],
    }.items()
}
grid(rows, heads=seeds)

# %% [markdown]
# ## 7. More of a word, or less
#
# A weight makes a word count more, as in `(word:1.5)`, or less, as in `(word:0.5)`. It is written as in AUTOMATIC1111,
# and works on learned words, too.

# %%
rows = {
    prompt: draw(prompt, [first])
    for prompt in [f"a ({first}:{weight}) on a yellow background" for weight in (0.4, 1, 1.6)]
}
grid(rows, heads=seeds)

# %% [markdown]
# ## 8. Keep the pictures
#
# They are ordinary pictures of Pillow. `pseudoword generate --out picture.png` on the command line also writes into
# each file how it was drawn.

# %%
for number, picture in enumerate(draw(f"a photo of a {first}", [first]), 1):
    picture.save(DRAWN / f"{number}.png")

# %% [markdown]
# ## 9. For another tool
#
# Vectors are copied bit for bit. Not every format can hold every word; then the error says why.

# %%
for form in ("a1111", "diffusers", "kohya", "comfyui"):
    print(*pseudoword.convert(files[THINGS[0]], f"converted/{form}", format=form))
