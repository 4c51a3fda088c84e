"""The architecture of mini, and how its weights are written."""

import inspect
import itertools
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from rows import CONTEXT, Batch
from tokenizer import BOS, EOS, PAD
from tokenizers import Tokenizer
from torch.nn.attention.varlen import varlen_attn
from transformers import LlamaConfig, LlamaForCausalLM

# torch 2.10 has a flag; later versions describe a causal window.
HAS_WINDOW = "window_size" in inspect.signature(varlen_attn).parameters
CAUSAL = {"window_size": (-1, 0)} if HAS_WINDOW else {"is_causal": True}
ROPE_THETA = 10000.0
SHARD_SIZE = "15MB"  # weights travel between machines in pieces of this size


def build(tokenizer: Tokenizer, layers: int, width: int, inner: int, heads: int, kv_heads: int, head_dim: int):
    """A Llama with small residual outputs (GPT-2's scaled initialisation): depth does not blow up the first steps."""
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        max_position_embeddings=CONTEXT,
        rope_theta=ROPE_THETA,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id(BOS),
        eos_token_id=tokenizer.token_to_id(EOS),
        pad_token_id=tokenizer.token_to_id(PAD),
    )
    model = LlamaForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            parameter.data.normal_(std=0.02 / (2 * layers) ** 0.5)
    return model


def rms_norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float = 1e-5) -> torch.Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon) * weight).to(x.dtype)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """RoPE (Su et al. 2021) on (tokens, heads, size), halves rotated as in transformers' Llama."""
    left, right = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-right, left), dim=-1) * sin).to(x.dtype)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
    """Causal attention within each document; q, k, v: (tokens, heads, size)."""
    if q.is_cuda:
        return varlen_attn(q, k, v, bounds, bounds, CONTEXT, CONTEXT, **CAUSAL)
    edges = bounds.unique().tolist()
    parts = [slice(first, last) for first, last in itertools.pairwise(edges)]
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    done = [F.scaled_dot_product_attention(q[:, :, p], k[:, :, p], v[:, :, p], is_causal=True) for p in parts]
    return torch.cat(done, dim=2)[0].transpose(0, 1)


def block(x, cos, sin, bounds, size, norm1, wq, wk, wv, wo, norm2, gate, up, down):
    """One decoder layer on packed tokens, (tokens, width) to (tokens, width).

    Weights are arguments, so that one compiled graph serves every layer; the result equals transformers' layer.
    """
    kind = x.dtype
    h = rms_norm(x, norm1)
    q, k, v = (F.linear(h, w.to(kind)).view(len(h), -1, size) for w in (wq, wk, wv))
    q, k = rotate(q, cos, sin), rotate(k, cos, sin)
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    x = x + F.linear(attend(q, k, v, bounds).reshape(len(h), -1), wo.to(kind))
    h = rms_norm(x, norm2)
    return x + F.linear(F.silu(F.linear(h, gate.to(kind))) * F.linear(h, up.to(kind)), down.to(kind))


def predict(x, norm, embedding):
    """Logits of the next tokens in float32, (tokens, vocabulary)."""
    return F.linear(rms_norm(x, norm), embedding.to(x.dtype)).float()


def head(x, norm, embedding, target, weight):
    """Weighted sum of the cross-entropy of the next tokens in nats."""
    return (F.cross_entropy(predict(x, norm, embedding), target, reduction="none") * weight).sum()


class Trainer:
    """The loss of a Llama on packed batches, with two compiled graphs of fixed shapes on a GPU."""

    def __init__(self, model: LlamaForCausalLM, compiled: bool) -> None:
        self.model = model
        self.block, self.head = (torch.compile(block), torch.compile(head)) if compiled else (block, head)
        config = model.config
        self.size = config.head_dim
        device = model.model.embed_tokens.weight.device
        rate = 1.0 / ROPE_THETA ** (torch.arange(0, self.size, 2, device=device) / self.size)
        angle = torch.outer(torch.arange(CONTEXT, device=device).float(), rate)
        self.angle = torch.cat((angle, angle), dim=-1)
        self.kind = torch.bfloat16 if device.type == "cuda" else torch.float32

    def states(self, batch: Batch) -> torch.Tensor:
        """What the last layer writes, (tokens, width)."""
        inner = self.model.model
        angle = self.angle[batch.position][:, None]
        cos, sin = angle.cos().to(self.kind), angle.sin().to(self.kind)
        x = inner.embed_tokens.weight[batch.ids].to(self.kind)
        for layer in inner.layers:
            a, m = layer.self_attn, layer.mlp
            norms = (layer.input_layernorm.weight, layer.post_attention_layernorm.weight)
            w = (a.q_proj.weight, a.k_proj.weight, a.v_proj.weight, a.o_proj.weight)
            f = (m.gate_proj.weight, m.up_proj.weight, m.down_proj.weight)
            x = self.block(x, cos, sin, batch.bounds, self.size, norms[0], *w, norms[1], *f)
        return x

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of some states, as ``predict``."""
        inner = self.model.model
        return predict(x, inner.norm.weight, inner.embed_tokens.weight)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Summed weighted loss, and the sum of the weights."""
        return self._loss(self.states(batch), batch)

    def distil(
        self, batch: Batch, teachers: "list[Trainer]", target_weight: float, softness: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As ``loss``; a target learns by ``softness`` what the teachers expect on average (Hinton et al. 2015)."""
        targets = (batch.weight == target_weight).nonzero()[:, 0]
        with torch.no_grad():
            expected = torch.stack([one.logits(one.states(batch)[targets]).softmax(-1) for one in teachers]).mean(0)
        x = self.states(batch)
        hard = replace(batch, weight=batch.weight.index_fill(0, targets, target_weight * (1 - softness)))
        summed, _ = self._loss(x, hard)
        soft = F.cross_entropy(self.logits(x[targets]), expected, reduction="sum")
        return summed + target_weight * softness * soft, batch.weight.sum()

    def _loss(self, x: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        inner = self.model.model
        target, weight = torch.roll(batch.ids, -1), batch.weight
        if self.head is head:  # without a compiled graph, shapes may vary: only tokens that count need logits
            counted = weight > 0
            x, target, weight = x[counted], target[counted], weight[counted]
        summed = self.head(x, inner.norm.weight, inner.embed_tokens.weight, target, weight)
        return summed, weight.sum()


def save(model: LlamaForCausalLM, folder: Path) -> None:
    copy = LlamaForCausalLM(model.config).to(torch.bfloat16)
    copy.load_state_dict({name: tensor.to(torch.bfloat16).cpu() for name, tensor in model.state_dict().items()})
    copy.save_pretrained(folder, max_shard_size=SHARD_SIZE)
