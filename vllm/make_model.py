"""Makes a tiny Llama with random weights, its tokenizer and three LoRA adapters, without a network.

    make_model.py DIRECTORY      writes DIRECTORY/model and DIRECTORY/adapters/{sql,chat,code}

The same call always makes the same weights. Answers are gibberish of the requested length, which
is all that routing needs.
"""

import json
import pathlib
import sys

import numpy
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_SIZE, FEED_FORWARD = 64, 2, 2, 1, 32, 128
VOCABULARY, CONTEXT, RANK = 4096, 4096, 8
ADAPTERS = ["sql", "chat", "code"]
SPECIAL = ["<unk>", "<s>", "</s>", "<|system|>", "<|user|>", "<|assistant|>"]
NAMED = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
BEGIN, END = SPECIAL.index("<s>"), SPECIAL.index("</s>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def make_tokenizer(directory):
    """A byte-level BPE learned from Python's own standard library; returns its size."""
    library = pathlib.Path(json.__file__).parent.parent
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train([str(path) for path in sorted(library.glob("*.py"))], trainer)
    tokenizer.save(str(directory / "tokenizer.json"))
    write_json(directory / "special_tokens_map.json", NAMED)
    write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": CONTEXT,
            "clean_up_tokenization_spaces": False,
            "chat_template": CHAT_TEMPLATE,
            **NAMED,
        },
    )
    return tokenizer.get_vocab_size()


def weights(seed):
    """A function that draws matrices of small random numbers."""
    source = numpy.random.default_rng(seed)
    return lambda *shape: (source.standard_normal(shape) * 0.05).astype(numpy.float32)


def make_model(directory):
    directory.mkdir(parents=True)
    vocabulary = make_tokenizer(directory)
    write_json(
        directory / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": HIDDEN,
            "intermediate_size": FEED_FORWARD,
            "num_hidden_layers": LAYERS,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "head_dim": HEAD_SIZE,
            "vocab_size": vocabulary,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "bos_token_id": BEGIN,
            "eos_token_id": END,
            "torch_dtype": "float32",
        },
    )
    write_json(directory / "generation_config.json", {"bos_token_id": BEGIN, "eos_token_id": END})
    matrix = weights(seed=0)
    ones = numpy.ones(HIDDEN, numpy.float32)
    tensors = {
        "model.embed_tokens.weight": matrix(vocabulary, HIDDEN),
        "lm_head.weight": matrix(vocabulary, HIDDEN),
        "model.norm.weight": ones,
    }
    for layer in range(LAYERS):
        shapes = {
            "self_attn.q_proj": (HEADS * HEAD_SIZE, HIDDEN),
            "self_attn.k_proj": (KV_HEADS * HEAD_SIZE, HIDDEN),
            "self_attn.v_proj": (KV_HEADS * HEAD_SIZE, HIDDEN),
            "self_attn.o_proj": (HIDDEN, HEADS * HEAD_SIZE),
            "mlp.gate_proj": (FEED_FORWARD, HIDDEN),
            "mlp.up_proj": (FEED_FORWARD, HIDDEN),
            "mlp.down_proj": (HIDDEN, FEED_FORWARD),
        }
        for name, shape in shapes.items():
            tensors[f"model.layers.{layer}.{name}.weight"] = matrix(*shape)
        for name in ["input_layernorm", "post_attention_layernorm"]:
            tensors[f"model.layers.{layer}.{name}.weight"] = ones
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})


def make_adapter(directory, seed, base):
    directory.mkdir(parents=True)
    write_json(
        directory / "adapter_config.json",
        {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": str(base),
            "r": RANK,
            "lora_alpha": 2 * RANK,
            "lora_dropout": 0.0,
            "bias": "none",
            "target_modules": ["q_proj", "v_proj"],
            "inference_mode": True,
        },
    )
    matrix = weights(seed)
    tensors = {}
    for layer in range(LAYERS):
        for name, outputs in [("q_proj", HEADS * HEAD_SIZE), ("v_proj", KV_HEADS * HEAD_SIZE)]:
            path = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            tensors[f"{path}.lora_A.weight"] = matrix(RANK, HIDDEN)
            tensors[f"{path}.lora_B.weight"] = matrix(outputs, RANK)
    save_file(tensors, directory / "adapter_model.safetensors", metadata={"format": "pt"})


def main():
    home = pathlib.Path(sys.argv[1]).resolve()
    make_model(home / "model")
    for seed, adapter in enumerate(ADAPTERS, start=1):
        make_adapter(home / "adapters" / adapter, seed, home / "model")


if __name__ == "__main__":
    main()
