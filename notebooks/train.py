# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Teach a model a new word
#
# You have three to five pictures of something: a toy, a pet, a style of drawing. This notebook teaches a
# text-to-image model a word for it. The model itself does not change. Only a few numbers are learned, and they fit
# into a file of a few kilobytes.
#
# Run the cells from top to bottom. As they are, they need no GPU and download no model: they teach a small base
# model, which only knows emoji, what a panda is. Then change the settings, and teach Stable Diffusion what is on your
# own pictures.

# %% [markdown]
# ## 1. Install
#
# On Colab, first choose a GPU: *Runtime*, *Change runtime type*.

# %%
try:
    import pseudoword
except ImportError:
    # %pip install -q pseudoword
    import pseudoword

# %%
import torch
from IPython.display import Image

from pseudoword.notebook import EXAMPLE_PICTURES, LiveProgress, grid, table

GPU = torch.cuda.is_available()
print("GPU:", torch.cuda.get_device_name() if GPU else "none. The bundled base model needs none.")

# %% [markdown]
# ## 2. Settings
#
# | setting | with your own pictures |
# | --- | --- |
# | `BASE` | `"stable-diffusion-v1-5/stable-diffusion-v1-5"`, or `"stabilityai/stable-diffusion-xl-base-1.0"`, or a folder or file of yours. Both need a GPU. |
# | `PICTURES` | the folder with your pictures. On Colab, make one in the list of files on the left, and drop pictures into it. |
# | `TOKEN` | the new word, as you will write it in prompts. Choose one that does not exist. |
# | `INIT` | the nearest thing that the model knows. Training starts there. |
# | `TEMPLATE` | `"subject"` for a thing, `"style"` for a style, `"captioned"` if each picture has a `.txt` file that describes it |
# | `PROMPTS` | what to draw at the end; `[name]` stands for the word |

# %% tags=["parameters"]
BASE = "emoji"
PICTURES = EXAMPLE_PICTURES
TOKEN = "<panda>"
INIT = "bear"
TEMPLATE = "captioned"
PROMPTS = [
    "a photo of a [name]",
    "a [name] on a teal background",
    "a [name] on a purple background",
    "a [name] in flat style",
    "a [name] and a rose",
]
STEPS = "auto"  # training stops by itself; or a number
SAMPLER_STEPS = 25  # for each picture that is drawn
OUT = "runs/panda"  # the folder for all that is learned
LARGER = "sd1"  # another model, to see how much memory it needs

# %% [markdown]
# ## 3. Pictures
#
# This sheet shows what the model will see of each picture, and the sentence that goes with it. The orange frame is the
# part that is used. Problems are written below the picture in orange. Good pictures show the thing large, sharp, and in
# front of different backgrounds.

# %%
prepared = pseudoword.prepare(PICTURES, base=BASE, template=TEMPLATE)
Image(prepared.sheet, width=900)

# %% [markdown]
# ## 4. Does it fit into memory?
#
# The memory is computed from the sizes of the model, before anything is loaded. `sd1`, `sd2` and `sdxl` are the
# published sizes of Stable Diffusion. If it is more than you have, put `gradient_checkpointing=True` or
# `quantize="4bit"` into the cell that trains. It takes longer. On a GPU weights have 16 bits, on a CPU 32.


# %%
def gib(nbytes):
    return f"{nbytes / 2**30:.1f} GiB"


plans = [pseudoword.plan(base=base, batch=4) for base in (BASE, LARGER)]
table(
    [
        {
            "base": plan.base,
            "pictures": f"{plan.resolution} px",
            "to train": gib(plan.train[0].nbytes),
            "with gradient_checkpointing": gib(plan.train[3].nbytes),
            "and quantize='4bit'": gib(plan.train[5].nbytes),
            "to draw": gib(plan.draw_nbytes),
        }
        for plan in plans
    ]
)

# %% [markdown]
# ## 5. Train
#
# The grey curve is the loss of each step. It jumps, since each step has other noise. Look at the red curve: it is
# measured on samples that never change. When it no longer falls, training stops by itself.
#
# You can stop this cell at any time. If you run it again, it goes on where it was. For another word, or with other
# settings, give `OUT` another folder.

# %%
word = pseudoword.train(
    PICTURES,
    TOKEN,
    init=INIT,
    base=BASE,
    template=TEMPLATE,
    steps=STEPS,
    batch=4,
    preview=[f"{prompt} --d 1 --s {SAMPLER_STEPS}" for prompt in PROMPTS[:2]],
    preview_every=20,
    out=OUT,
    progress=LiveProgress(OUT),
)

# %% [markdown]
# How the word became what it is, from left to right:

# %%
Image(word.folder / "previews" / "filmstrip.png", width=900)

# %% [markdown]
# ## 6. Before and after
#
# Each column has one prompt. The first row of each pair is drawn with the word that training started from, the second
# one with the new word. Both begin from the same noise. The model stays in memory while they are drawn.

# %%
model = pseudoword.load(BASE)


def draw(name, seed):
    """One picture for each prompt."""
    pictures = []
    for prompt in PROMPTS:
        pictures += pseudoword.generate(
            prompt.replace("[name]", name),
            concept=word.concept if name == TOKEN else (),
            base=model,
            seed=seed,
            sampler_steps=SAMPLER_STEPS,
        )
    return pictures


rows = {}
for seed in (1, 2):
    rows[f"before: {INIT} (seed {seed})"] = draw(INIT, seed)
    rows[f"after: {TOKEN} (seed {seed})"] = draw(TOKEN, seed)

grid(rows, heads=PROMPTS)

# %% [markdown]
# Does the word look right, but ignores the rest of the prompt? Train it with fewer steps, or fewer `vectors`. Does it
# not look right yet? Give it more `vectors`, a better `INIT`, or better pictures.

# %% [markdown]
# ## 7. Use it elsewhere
#
# ### diffusers
#
# diffusers reads the file with `load_textual_inversion`. A word for SDXL has a file for each of its two text encoders.

# %%
from diffusers import DiffusionPipeline

CONVERTED = "converted"  # a folder; what is in it is replaced
files = pseudoword.convert(
    word.folder, f"{CONVERTED}/diffusers.safetensors", format="diffusers", overwrite=True
)

bundled = {base.name: base.path for base in pseudoword.bases()}
pipeline = DiffusionPipeline.from_pretrained(
    bundled.get(BASE, BASE), dtype=torch.float16 if GPU else torch.float32
)
pipeline.to("cuda" if GPU else "cpu")
pipeline.set_progress_bar_config(disable=True)

pipeline.load_textual_inversion(files[0])
if len(files) == 2:
    pipeline.load_textual_inversion(
        files[1], text_encoder=pipeline.text_encoder_2, tokenizer=pipeline.tokenizer_2
    )

# %% [markdown]
# From here on it is a pipeline like any other, and the word is in its vocabulary. The first picture begins from the
# same noise as the one with seed 1 above.

# %%
settings = {"guidance_scale": 3.5, "guidance_rescale": 1.0} if BASE == "emoji" else {}
drawn = pipeline(
    PROMPTS[1].replace("[name]", TOKEN),
    num_inference_steps=SAMPLER_STEPS,
    num_images_per_prompt=4,
    generator=torch.Generator().manual_seed(1),
    **settings,
).images

grid({"diffusers": drawn})

# %% [markdown]
# ### AUTOMATIC1111 and ComfyUI
#
# In both, the name of the file is the word.

# %%
name = TOKEN.strip("<>")
for_a1111 = pseudoword.convert(word.folder, f"{CONVERTED}/{name}.pt", overwrite=True)[0]
for_comfyui = pseudoword.convert(word.folder, f"{CONVERTED}/{name}.safetensors", overwrite=True)[0]
table(
    [
        {
            "tool": "AUTOMATIC1111",
            "file": for_a1111,
            "copy it into": "embeddings/",
            "write in the prompt": f"a photo of {name}",
        },
        {
            "tool": "ComfyUI",
            "file": for_comfyui,
            "copy it into": "models/embeddings/",
            "write in the prompt": f"a photo of embedding:{name}",
        },
    ]
)

# %% [markdown]
# What any tool will do with a file, `inspect` says:

# %%
told = pseudoword.inspect(for_a1111)
table([{"tool": tool, "what it does with the file": text} for tool, text in told.tools.items()])

# %% [markdown]
# ## 8. Publish it
#
# This puts the word on the Hugging Face hub, with a page that shows its pictures and says how it was learned. Log in
# first (`hf auth login`), and then write where it should go. As it is, the cell does nothing.

# %%
PUSH_TO = None  # "your-name/panda"

if PUSH_TO:
    print(pseudoword.push(word.folder, PUSH_TO, private=True).url)

# %% [markdown]
# The notebook `use` draws more with a word: many prompts and seeds, several words at once, words from the hub.
