"""Makes a base model for the benchmark of fine-tuning: the shape of Llama 3 8B, random weights, the real tokenizer.

    python base_model.py --out FOLDER --tokenizer tokenizer.model
    python base_model.py --out FOLDER --tokenizer tokenizer.model --size small   # four layers, for a trial on a GPU
    python base_model.py --out FOLDER --tokenizer tokenizer.model --size tiny    # two small layers, for tests on a CPU

Writes FOLDER/bf16 and FOLDER/nf4 (bitsandbytes NF4 with double quantisation; none if tiny). Speed and memory
depend on the shape and the tokens, not on the values of the weights, so that no download is needed.
tokenizer.model is Meta's file of ranks, in the wheel `llama-models` as llama_models/llama3/tokenizer.model.
"""

import argparse
import time
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.convert_slow_tokenizer import TikTokenConverter

SPECIAL_TOKENS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<|reserved_special_token_1|>",
    "<|finetune_right_pad_id|>",
    "<|step_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
    *(f"<|reserved_special_token_{number}|>" for number in range(2, 247)),
]
BEGIN, END, PAD = SPECIAL_TOKENS[0], SPECIAL_TOKENS[1], SPECIAL_TOKENS[4]
# How Llama 3 splits text before the byte pairs are merged.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA_3_8B = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
SMALL = {
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 4,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
}
TINY = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


SIZES = {"8b": LLAMA_3_8B, "small": SMALL, "tiny": TINY}


def llama_tokenizer(ranks: Path) -> PreTrainedTokenizerFast:
    converter = TikTokenConverter(vocab_file=str(ranks), pattern=SPLIT, extra_special_tokens=SPECIAL_TOKENS)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=converter.converted(), bos_token=BEGIN, eos_token=END, pad_token=PAD, model_max_length=8192
    )
    if len(tokenizer) != 128256 or tokenizer.eos_token_id != 128001:
        raise SystemExit(f"{ranks} has {len(tokenizer):,} tokens with the special ones; Llama 3 has 128,256")
    return tokenizer


def llama_config(tokenizer: PreTrainedTokenizerFast, size: str) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=8192,
        rope_theta=500000.0,
        rms_norm_eps=1e-5,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
        **SIZES[size],
    )


def save_random_model(config: LlamaConfig, folder: Path) -> None:
    """bf16, with the initialisation of transformers (normal, 0.02): the loss starts near ln(vocabulary) and falls."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)


def save_nf4(source: Path, folder: Path) -> None:
    quantization = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    model = AutoModelForCausalLM.from_pretrained(
        source, quantization_config=quantization, dtype=torch.bfloat16, device_map={"": 0}
    )
    model.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for bf16/ and nf4/")
    parser.add_argument("--tokenizer", type=Path, required=True, help="tokenizer.model of Llama 3")
    parser.add_argument("--size", choices=sorted(SIZES), default="8b", help="tiny: bf16 only (default: 8b)")
    parser.add_argument("--only-bf16", action="store_true", help="write no nf4/")
    options = parser.parse_args()
    start = time.perf_counter()

    def done(folder: Path) -> None:
        tokenizer.save_pretrained(folder)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 2**30
        print(f"{folder}: {size:.2f} GiB after {time.perf_counter() - start:.0f} s", flush=True)

    tokenizer = llama_tokenizer(options.tokenizer)
    full = options.out / "bf16"
    save_random_model(llama_config(tokenizer, options.size), full)
    done(full)
    if options.size != "tiny" and not options.only_bf16:
        torch.cuda.empty_cache()
        save_nf4(full, options.out / "nf4")
        done(options.out / "nf4")


if __name__ == "__main__":
    main()
