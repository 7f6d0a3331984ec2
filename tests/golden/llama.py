#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A LlamaForCausalLM in PyTorch, from its folder and nothing else: what others make of our files.

Usage: llama.py golden FOLDER            writes a small model and its logits (tests/golden/llama)
       llama.py continue FOLDER TEXT N   goes on from TEXT with the N likeliest bytes
       (any PyTorch from 1.13 on)

The file of weights is read by hand, and the model is written out from Hugging Face's definition:
heads of keys and values repeated for the heads of queries, positions that turn the halves of a head.
It shares nothing with the C code. Computed in double precision.
"""
import json
import math
import os
import struct
import sys

import torch

GOLDEN = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 64,
          "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 3,
          "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 32,
          "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "tie_word_embeddings": False,
          "hidden_act": "silu", "torch_dtype": "bfloat16"}
LENGTHS = (1, 7, 32)
TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def read_tensors(path):
    with open(path, "rb") as file:
        length, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    header.pop("__metadata__", None)
    return {name: torch.frombuffer(bytearray(data[slice(*entry["data_offsets"])]),
                                   dtype=TYPES[entry["dtype"]]).reshape(entry["shape"]).double()
            for name, entry in header.items()}


def write_tensors(path, tensors):
    header, data = {}, b""
    names = {torch.float32: "F32", torch.bfloat16: "BF16"}
    for name, tensor in tensors.items():
        raw = bytes(tensor.contiguous().view(torch.uint8).flatten().tolist())
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def rms_norm(x, gain, epsilon):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + epsilon) * gain


def rotate(x, base):
    """x: [heads, T, size]."""
    half = x.shape[-1] // 2
    frequencies = base ** (-torch.arange(half, dtype=x.dtype) / half)
    angles = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * frequencies
    angles = torch.cat([angles, angles], -1)
    turned = torch.cat([-x[..., half:], x[..., :half]], -1)
    return x * angles.cos() + turned * angles.sin()


def attention(x, part, config):
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    size, length = config["hidden_size"] // heads, x.shape[0]
    q, k, v = ((x @ part(f"self_attn.{name}_proj").T).reshape(length, -1, size).transpose(0, 1)
               for name in "qkv")
    q, k = rotate(q, config["rope_theta"]), rotate(k, config["rope_theta"])
    k, v = (each.repeat_interleave(heads // groups, 0) for each in (k, v))
    scores = q @ k.transpose(1, 2) / math.sqrt(size)
    scores = scores.masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
    mixed = (scores.softmax(-1) @ v).transpose(0, 1).reshape(length, -1)
    return mixed @ part("self_attn.o_proj").T


def logits(config, w, tokens):
    """[T, vocab]."""
    epsilon = config["rms_norm_eps"]
    x = w["model.embed_tokens.weight"][tokens]
    for layer in range(config["num_hidden_layers"]):
        def part(name, at=layer):
            return w[f"model.layers.{at}.{name}.weight"]
        x = x + attention(rms_norm(x, part("input_layernorm"), epsilon), part, config)
        normed = rms_norm(x, part("post_attention_layernorm"), epsilon)
        gated = torch.nn.functional.silu(normed @ part("mlp.gate_proj").T)
        x = x + (gated * (normed @ part("mlp.up_proj").T)) @ part("mlp.down_proj").T
    head = "model.embed_tokens.weight" if config["tie_word_embeddings"] else "lm_head.weight"
    return rms_norm(x, w["model.norm.weight"], epsilon) @ w[head].T


def golden_weights():
    dim, ffn, vocab = (GOLDEN[key] for key in ("hidden_size", "intermediate_size", "vocab_size"))
    kv_dim = dim // GOLDEN["num_attention_heads"] * GOLDEN["num_key_value_heads"]
    shapes = {"model.embed_tokens": (vocab, dim)}
    for layer in range(GOLDEN["num_hidden_layers"]):
        for name, shape in (("input_layernorm", (dim,)), ("self_attn.q_proj", (dim, dim)),
                            ("self_attn.k_proj", (kv_dim, dim)), ("self_attn.v_proj", (kv_dim, dim)),
                            ("self_attn.o_proj", (dim, dim)), ("post_attention_layernorm", (dim,)),
                            ("mlp.gate_proj", (ffn, dim)), ("mlp.up_proj", (ffn, dim)),
                            ("mlp.down_proj", (dim, ffn))):
            shapes[f"model.layers.{layer}.{name}"] = shape
    shapes.update({"model.norm": (dim,), "lm_head": (vocab, dim)})
    random = torch.Generator().manual_seed(1)
    return {name + ".weight": ((torch.rand(shape, generator=random) - 0.5) / 2 +
                               (1 if len(shape) == 1 else 0)).bfloat16()
            for name, shape in shapes.items()}


def write_golden(folder):
    """The tokens are 0, 37, 74, ...: (37 i) mod 64."""
    w = golden_weights()
    write_tensors(os.path.join(folder, "model.safetensors"), w)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps(GOLDEN, indent=1) + "\n")
    tokens = torch.arange(max(LENGTHS)) * 37 % GOLDEN["vocab_size"]
    all_logits = logits(GOLDEN, {name: tensor.double() for name, tensor in w.items()}, tokens)
    write_tensors(os.path.join(folder, "logits.safetensors"),
                  {f"after.{length}": all_logits[length - 1].float() for length in LENGTHS})


def go_on(folder, text, count):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    w = read_tensors(os.path.join(folder, "model.safetensors"))
    tokens = list(text.encode())
    for _ in range(count):
        tokens.append(int(logits(config, w, torch.tensor(tokens))[-1].argmax()))
    return bytes(tokens[-count:]).decode(errors="replace")


def main():
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    if sys.argv[1] == "golden":
        write_golden(sys.argv[2])
    else:
        print(go_on(sys.argv[2], sys.argv[3], int(sys.argv[4])))


if __name__ == "__main__":
    main()
