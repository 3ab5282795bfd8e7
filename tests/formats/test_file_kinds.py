"""Files that are no embeddings: the error says what each one is."""

from pathlib import Path
from typing import Any

import pytest
import torch
from embedding_files import rows, torch_bytes
from safetensors.torch import save
from support import run
from torch import Tensor

from pseudoword import api, formats
from pseudoword.errors import ConceptError
from pseudoword.formats import embedding_file

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 3192\n".format("0" * 64)
PAGE = "<!DOCTYPE html>\n<html><body>Sign in to download</body></html>\n"

TEXTS: dict[str, tuple[bytes, str]] = {
    "pointer": (POINTER.encode(), "Git LFS pointer.*git lfs pull"),
    "pointer of Windows": (POINTER.replace("\n", "\r\n").encode(), "Git LFS pointer"),
    "old pointer": (b"version https://hawser.github.com/spec/v1\noid x\n", "Git LFS pointer"),
    "annex pointer": (b"/annex/objects/MD5E-s7--abc.pt\n", "git-annex pointer.*git annex get"),
    "page": (PAGE.encode(), "web page.*[Dd]ownload it again"),
    "page with a mark": (PAGE.encode("utf-8-sig"), "web page"),
    "page in UTF-16": (PAGE.encode("utf-16"), "web page"),
    "page in Latin 1": ("<html><body>Gâteau für dich: ñ</body>".encode("latin-1"), "web page"),
    "page after blanks": (b"\n \t\n" + PAGE.encode(), "web page"),
    "page cut inside a letter": (b"<html>" + b"x" * 4089 + "ä".encode() + b"y" * 99, "web page"),
    "XML of a store": (
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        "web page",
    ),
    "bare markup": (b'<a href="/login">moved</a>', "web page"),
    "JSON of a hub": (
        b'{"error":"Repository not found"}',
        "message.*'Repository not found'.*[Dd]ownload",
    ),
    "JSON with a nested message": (b'{"error": {"message": "gone\\u001b[31m"}}', r"'gone.*\[31m'"),
    "JSON cut off": (b'{"error": "Unauthorized", "x": "' + b"y" * 9000, "'Unauthorized'"),
    "other JSON": (b"[1, 2, 3]", "is JSON, not the embedding"),
    "words of a server": (b"Entry not found", "plain text \\('Entry not found'\\)"),
    "zero bytes": (bytes(5000), "unfinished download"),
    "JPEG": (b"\xff\xd8\xff\xe0\x00\x10JFIF", "JPEG picture"),
    "gzip": (b"\x1f\x8b\x08\x00", "gzip: unpack"),
    "GGUF": (b"GGUF\x03\x00\x00\x00", "GGUF model"),
    "tar": (b"a.pt".ljust(257, b"\0") + b"ustar\x0000", "tar archive"),
}


@pytest.mark.parametrize("missing", [1, 3000, 6200])
def test_a_download_that_broke_off_is_called_one(missing: int, tmp_path: Path) -> None:
    whole = save({"emb_params": torch.ones(2, 768), "other": torch.zeros(2)}, {"a": "b"})
    path = tmp_path / "a.safetensors"
    path.write_bytes(whole[:-missing])
    with pytest.raises(
        ConceptError, match=f"not downloaded to its end: .* {len(whole) - missing} "
    ):
        formats.read(path)


def test_a_tensor_without_rows_is_no_encoded_prompt(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"emb_params": torch.ones(0, 768)}))
    with pytest.raises(ConceptError, match=r"\[0, 768\] .*expected \[n, width\]"):
        formats.read(path)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("ending", ["pt", "safetensors", "png"])
def test_a_file_that_is_no_embedding_is_called_what_it_is(
    name: str, ending: str, tmp_path: Path
) -> None:
    data, message = TEXTS[name]
    path = tmp_path / f"a.{ending}"
    path.write_bytes(data)
    with pytest.raises(ConceptError, match=message) as refusal:
        formats.read(path)
    assert str(refusal.value).isprintable()
    assert str(path) in str(refusal.value)


def weights(*names: str, shapes: tuple[tuple[int, ...], ...] = ((4, 768), (768, 4))) -> Any:
    return {name: torch.ones(shapes[i % len(shapes)]) for i, name in enumerate(names)}


NETWORKS: dict[str, tuple[dict[str, Any], str]] = {
    "kohya": (
        weights("lora_te_x.lora_down.weight", "lora_te_x.lora_up.weight")
        | {"lora_te_x.alpha": torch.tensor(4.0)},
        "a LoRA",
    ),
    "one matrix": (weights("lora_te_x.lora_down.weight"), "a LoRA"),
    "diffusers": (
        weights("unet.a.attn1.processor.to_q_lora.down.weight", "unet.a.to_q_lora.up.weight"),
        "a LoRA",
    ),
    "PEFT": (
        weights("base_model.model.q_proj.lora_A.weight", "transformer.b.lora_B.default.weight"),
        "a LoRA",
    ),
    "cloneofsimo": (weights("unet:0:up", "unet:0:down", "text_encoder:3:up"), "a LoRA"),
    "XLabs": (weights("double_blocks.0.processor.qkv_lora1.down.weight"), "a LoRA"),
    "LoHa": (weights("lycoris_a.hada_w1_a", "lycoris_a.hada_w1_b"), "a LoRA"),
    "LoKr": (weights("x.lokr_w1", "x.lokr_w2_a"), "a LoRA"),
    "OFT": (weights("m.oft_blocks", "n.oft_blocks", shapes=((4, 8),)), "a LoRA"),
    "GLoRA": (weights("lora_unet_q.a1.weight", "lora_unet_q.b1.weight"), "a LoRA"),
    "DoRA": (weights("a.to_k.dora_scale", "a.to_k.lora_A.weight"), "a LoRA"),
    "IA3": (weights("lora_unet_k.weight", "lora_unet_k.on_input"), "a LoRA"),
    "difference": (weights("unet_mid.diff", "unet_mid.diff_b"), "a LoRA"),
    "IP-adapter": (
        weights("image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"),
        "an IP-adapter",
    ),
    "ControlNet": (
        weights("control_model.input_hint_block.0.bias", "control_model.b.weight"),
        "a ControlNet",
    ),
    "VAE": (weights("first_stage_model.decoder.conv_in.bias", "quant_conv.bias"), "a VAE"),
    "base model in one file": (
        weights("model.diffusion_model.out.0.bias", "first_stage_model.decoder.conv_in.bias"),
        "is a base model.*Give it as --base",
    ),
    "base model with a VAE of another name": (
        weights("vae.decoder.conv_in.bias", "model.diffusion_model.double_blocks.0.a.bias"),
        "is a base model",
    ),
    "model": (weights("text_model.embeddings.token_embedding.weight"), "a model's weights"),
    "predictor": (weights("layers.0.weight", "layers.0.bias", shapes=((4, 768),)), "a model's"),
    "prompt": (
        {"prompt_embeds": torch.ones(77, 768), "pooled_prompt_embeds": torch.ones(1, 1280)},
        "an encoded prompt",
    ),
    "prompt of T5": ({"encoder_hidden_states": torch.ones(3, 4096)}, "an encoded prompt"),
    "unheard of": (weights("a", "b"), "its tensors are 4, 768 wide"),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("kind", ["safetensors", "torch", "in a dict", "bare pickle"])
def test_networks_are_called_what_they_are(name: str, kind: str, tmp_path: Path) -> None:
    tensors, message = NETWORKS[name]
    path = tmp_path / "a.pt"
    if kind == "bare pickle":
        if name == "unheard of":
            pytest.skip("nothing tells what it is")
        torch.save(tensors, path, _use_new_zipfile_serialization=False)
    elif kind == "in a dict":
        path.write_bytes(torch_bytes({"state_dict": tensors, "step": 3}))
    else:
        path.write_bytes((save if kind == "safetensors" else torch_bytes)(tensors))
    with pytest.raises(ConceptError, match=message) as refusal:
        formats.read(path)
    if message == "a LoRA":
        assert "--lora" in str(refusal.value)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"hash": "x", "optimizer_state_dict": {"state": {0: {"exp_avg": rows(3, 768)}}}}, "optim"),
        (
            {"state_dict": {"model.diffusion_model.a.bias": rows(1, 8)}, "optimizer_states": []},
            "base",
        ),
        ({"state": {0: {"exp_avg": rows(3, 768), "step": torch.tensor(1.0)}}}, "optimiser's state"),
        ({768: ({"linear.0.weight": rows(2, 768)},), "layer_structure": [1, 2]}, "hypernetwork"),
        ({"image_proj": {"norm.bias": rows(1, 768)}, "ip_adapter": {}}, "IP-adapter"),
        ([rows(4, 320), rows(320, 4)], "its tensors are 4, 320 wide"),
        ([{"up": rows(4, 320)}, {"down": rows(320, 4)}], "wide"),
        ({"<cat>": torch.ones(154, 768)}, "encoded prompt"),
        ({"clip_l": torch.ones(77, 768), "clip_g": torch.ones(77, 1280)}, "encoded prompt"),
        ({"t5xxl": torch.ones(512, 4096)}, "encoded prompt"),
        ({"<cat>": rows(1, 8)[:, :1].expand(40, 8)}, "too large"),
    ],
)
def test_torch_files_of_other_things_are_named(made: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(made, path)
    with pytest.raises(ConceptError, match=message):
        formats.read(path)


def test_a_large_lora_is_named_without_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.safetensors").write_bytes(save(NETWORKS["kohya"][0]))
    monkeypatch.setattr(embedding_file, "LARGEST_NBYTES", 1000)
    with pytest.raises(ConceptError, match=r"0 MB.* this is a LoRA, not an embedding.*--lora"):
        formats.read(tmp_path / "a.safetensors")


WORDS = {"<s1>": rows(1, 768, 1)[0], "<s2>": rows(1, 768, 2)[0]}
LORA = {"unet:0:up": rows(640, 4), "unet:0:down": rows(4, 320), "text_encoder:0:up": rows(4, 768)}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize(
    ("tensors", "metadata", "expected"),
    [
        (WORDS, {"<s1>": "<embed>", "<s2>": "<embed>", "unet:0:rank": "4"}, ["<s1>", "<s2>"]),
        ({"cat": rows(1, 768), "dog": rows(1, 8)}, {"cat": "<embed>"}, ["cat"]),
        (WORDS, {}, ["<s1>", "<s2>"]),
        ({"clip_l": rows(2, 768), "clip_g": rows(2, 1280)}, {}, ["a"]),
    ],
)
def test_the_embeddings_inside_a_lora_are_found(
    tensors: dict[str, Tensor],
    metadata: dict[str, str],
    expected: list[str],
    large: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "a.safetensors").write_bytes(save(LORA | tensors, metadata))
    if large:
        monkeypatch.setattr(embedding_file, "LARGEST_NBYTES", 1000)
    found = formats.read_all(tmp_path / "a.safetensors")
    assert [word.token for word in found] == expected
    for word in found:
        for rows_found in word.vectors.values():
            assert any(
                rows_found.equal(t.reshape(rows_found.shape[0], -1)) for t in tensors.values()
            )


@pytest.mark.parametrize("token", ["lora_cat", "dora_explorer", "v1.5 cat", "<a.weight>", "unet"])
def test_a_token_may_look_like_a_name_in_a_network(token: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({token: rows(3, 768)}))
    assert formats.read(path).token == token
    path.write_bytes(save({token: rows(3, 768), f"{token}s": rows(1, 768)}))
    assert len(formats.read_all(path)) == 2


def test_damaged_files_do_not_stop_a_gallery(tmp_path: Path) -> None:
    for name, (data, _) in TEXTS.items():
        (tmp_path / f"{name}.pt").write_bytes(data)
    (tmp_path / "lora.safetensors").write_bytes(save(NETWORKS["PEFT"][0]))
    (tmp_path / "word.safetensors").write_bytes(save({"<cat>": rows(1, 768)}))
    found = api.gallery(tmp_path)
    assert [word.token for word in found.words] == ["<cat>"]
    assert len(found.skipped) == len(TEXTS) + 1


def test_the_command_line_prints_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "learned_embeds.bin").write_text(POINTER)
    code, output, error = run("inspect", tmp_path)
    assert (code, output) == (2, "")
    assert "git lfs pull" in error


ESCAPE = "\x1b[31m\x07\u202e[/bold]"
MARKED = {f"a{ESCAPE}": rows(1, 768)}


@pytest.mark.parametrize(
    "data",
    [
        save(MARKED, {ESCAPE: ESCAPE, f"pseudoword.{ESCAPE}": ESCAPE, "modelspec.title": ESCAPE}),
        save({"<cat>": rows(1, 768)}, {"pseudoword.encoders": ESCAPE, "pseudoword.token": ESCAPE}),
        save({"<cat>": rows(1, 8)}, {"pseudoword.family": ESCAPE, "pseudoword.method": ESCAPE}),
        save({"a": rows(1, 8), "b": rows(1, 8)}, {"pseudoword.encoders": f"a,{ESCAPE}"}),
        save({f"bundle_emb.{ESCAPE}.{ESCAPE}": rows(1, 768), "bundle_emb.c.x": rows(1, 8)}),
        save({f"{ESCAPE}.weight": rows(1, 768)}),
        torch_bytes({"string_to_param": {"*": rows(1, 768)}, "name": ESCAPE, "step": ESCAPE}),
        torch_bytes({**MARKED, "pseudoword": {ESCAPE: ESCAPE, "family": ESCAPE}}),
        torch_bytes({ESCAPE: {ESCAPE: rows(2, 3, 4)[None]}}),
        torch_bytes({ESCAPE: [ESCAPE]}),
        f'{{"error": "{ESCAPE}"}}'.encode(),
        ESCAPE.encode() * 3 + b"hello, this is a text" * 20,
    ],
)
def test_no_control_characters_come_out_of_a_file(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(data)
    try:
        seen = api.inspect(path)
        texts = [seen.token, seen.family or "", seen.method, *seen.encoders, *seen.fits]
        texts += [*seen.others, *seen.provenance, *seen.provenance.values(), *seen.tools.values()]
    except ConceptError as error:
        texts = [str(error)]
    assert all(text.isprintable() for text in texts)
