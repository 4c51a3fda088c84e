"""What ONNX graphs of a Llama in int8 are built of, and the graph that writes one token for many documents.

Operators are those of ONNX (https://onnx.ai/onnx/operators) and of ONNX Runtime's domain com.microsoft. Weights have a
scale for each column of a product; inputs are quantised when they are computed, with a scale for each row, so that no
row depends on its neighbours. Needs the package onnx.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from topicgen.engines.weights import Array
from topicgen.models import ModelFolder

WEIGHTS_FILE = "weights.bin"
PAGE = 4096  # bytes; smaller constants stay in the graph's own file, larger ones begin at a multiple
MICROSOFT = "com.microsoft"
ROTARIES = ("default", "linear", "llama3")
"""Kinds of rotary embeddings that ``rotations`` knows."""
Product = tuple[str, str]  # names of an input's int8 numbers and of its rows' scales


@dataclass(frozen=True)
class Shape:
    """Sizes of a Llama."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    width: int  # of a head
    context: int

    @classmethod
    def of(cls, model: ModelFolder) -> "Shape":
        heads = model.number("num_attention_heads")
        kv_heads = model.number("num_key_value_heads", heads)
        hidden, layers = model.number("hidden_size"), model.number("num_hidden_layers")
        return cls(hidden, layers, heads, kv_heads, model.head_width, model.context_tokens)


class Constants:
    """The large constants of several graphs in one file, each once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / WEIGHTS_FILE
        self._places: dict[str, int] = {}

    def move(self, tensor: Any) -> None:
        """Takes the numbers of a tensor out of its graph."""
        from onnx import TensorProto

        data = tensor.raw_data
        if len(data) < PAGE:
            return
        key = hashlib.sha256(data).hexdigest()
        if key not in self._places:
            with self._path.open("ab") as file:
                file.write(bytes(-file.tell() % PAGE))
                self._places[key] = file.tell()
                file.write(data)
        place = {"location": WEIGHTS_FILE, "offset": str(self._places[key]), "length": str(len(data))}
        for name, value in place.items():
            tensor.external_data.add(key=name, value=value)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.ClearField("raw_data")


class Graph:
    """A graph that grows operator by operator; names of tensors in, names of tensors out.

    Args:
        model: The model folder.
        tensors: Its weights in float32.
    """

    def __init__(self, model: ModelFolder, tensors: Mapping[str, Array]) -> None:
        self.shape = Shape.of(model)
        self.tensors = tensors
        self._epsilon = model.config.get("rms_norm_eps", 1e-6)
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        cosine, sine = rotations(model, self.shape)
        self.rotary = self.constant("cosine", cosine), self.constant("sine", sine)

    def constant(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def ints(self, *values: int) -> str:
        return self.constant("i" + "_".join(map(str, values)), np.array(values, np.int64))

    def op(self, kind: str, *inputs: str, domain: str = "", out: str | None = None, **attributes: Any) -> str:
        """The first output of an operator; the others are dropped."""
        return self.ops(kind, *inputs, domain=domain, out=[out or f"{kind}{len(self._nodes)}"], **attributes)[0]

    def ops(self, kind: str, *inputs: str, out: list[str], domain: str = "", **attributes: Any) -> list[str]:
        from onnx import helper

        self._nodes.append(
            helper.make_node(kind, list(inputs), out, name=f"n{len(self._nodes)}", domain=domain, **attributes)
        )
        return out

    def quantised(self, rows: str) -> Product:
        """The input of products, quantised once for all of them."""
        largest = self.op("ReduceMax", self.op("Abs", rows), self.ints(-1), keepdims=1)
        largest = self.op("Max", largest, self.constant("smallest", np.float32(1e-12)))
        scale, zero = self._unit()
        return self.op("QuantizeLinear", self.op("Div", rows, largest), scale, zero), largest

    def _unit(self) -> tuple[str, str]:
        return self.constant("scale", np.float32(1 / 127)), self.constant("zero", np.uint8(128))

    def product(self, rows: Product, *names: str, out: str | None = None) -> str:
        """Rows times the transposed weights of these names, one beside the other."""
        name = "+".join(names)
        if name not in self._constants:
            weight = np.concatenate([self.tensors[each] for each in names]).T
            scales = np.maximum(np.abs(weight).max(0), 1e-12) / 127
            self.constant(name, np.clip(np.rint(weight / scales), -127, 127).astype(np.int8))
            self.constant(f"{name}.scales", scales.astype(np.float32))
        scale, zero = self._unit()
        made = self.op("MatMulIntegerToFloat", rows[0], name, scale, f"{name}.scales", zero, "", domain=MICROSOFT)
        return self.op("Mul", made, rows[1], out=out)

    def normed(self, rows: str, name: str) -> str:
        gain = self.constant(name, self.tensors[name])
        return self.op("SimplifiedLayerNormalization", rows, gain, epsilon=self._epsilon, axis=-1, stash_type=1)

    def feed_forward(self, rows: str, layer: str) -> str:
        """A layer's second half, its sum with the input included."""
        normed = self.quantised(self.normed(rows, layer + "post_attention_layernorm.weight"))
        gate, up = (self.product(normed, f"{layer}mlp.{x}_proj.weight") for x in ("gate", "up"))
        gated = self.op("Mul", self.op("QuickGelu", gate, domain=MICROSOFT, alpha=1.0), up)  # alpha 1: SiLU
        return self.op("Add", rows, self.product(self.quantised(gated), layer + "mlp.down_proj.weight"))

    def save(self, path: Path, inputs: list[Any], outputs: list[Any], constants: Constants) -> None:
        """Writes the graph; inputs and outputs are (name, type, shape)."""
        from onnx import helper

        told, made = ([helper.make_tensor_value_info(*each) for each in side] for side in (inputs, outputs))
        graph = helper.make_graph(self._nodes, "llama", told, made, list(self._constants.values()))
        domains = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
        whole = helper.make_model(graph, opset_imports=domains, ir_version=10)
        for tensor in whole.graph.initializer:
            constants.move(tensor)
        path.write_bytes(whole.SerializeToString())


def rotations(model: ModelFolder, shape: Shape) -> tuple[Array, Array]:
    """Cosines and sines of rotary embeddings, (context, width / 2), scaled as the model's config asks."""
    base, kind, scaling = model.rotary
    frequencies = 1 / base ** (np.arange(0, shape.width, 2) / shape.width)
    if kind == "linear":
        frequencies /= scaling["factor"]
    elif kind == "llama3":
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        turns = scaling["original_max_position_embeddings"] * frequencies / (2 * np.pi)
        kept = np.clip((turns - low) / (high - low), 0, 1)
        frequencies = kept * frequencies + (1 - kept) * frequencies / scaling["factor"]
    angles = np.arange(shape.context)[:, None] * frequencies
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def cache_names(layers: int, prefix: str = "") -> list[str]:
    """Names of the tensors of keys and values: k0, v0, k1, ..."""
    return [f"{prefix}{kind}{layer}" for layer in range(layers) for kind in "kv"]


def save_step_graph(graph: Graph, path: Path, constants: Constants, tied: bool) -> None:
    """x (n, 1, hidden), places (n,), longest (), k (1,), k0, v0, ... -> the k likeliest tokens (n, k), their logprobs.

    Keys and values, (n, kv_heads, room, width), are changed in place: the outputs new_k0, ... are the same memory. A
    document's place is the number of its tokens before this one; longest is the largest of them, plus one.
    """
    from onnx import TensorProto

    shape, rows = graph.shape, "x"
    for number in range(shape.layers):
        layer = f"model.layers.{number}."
        attention = f"{layer}self_attn."
        normed = graph.quantised(graph.normed(rows, layer + "input_layernorm.weight"))
        attended, *_ = graph.ops(
            "GroupQueryAttention",
            graph.product(normed, *(f"{attention}{x}_proj.weight" for x in "qkv")),
            *("", ""),
            *(f"k{number}", f"v{number}", "places", "longest"),
            *graph.rotary,
            domain=MICROSOFT,
            out=[f"attended{number}", f"new_k{number}", f"new_v{number}"],
            num_heads=shape.heads,
            kv_num_heads=shape.kv_heads,
            do_rotary=1,
            scale=shape.width**-0.5,
        )
        rows = graph.op("Add", rows, graph.product(graph.quantised(attended), attention + "o_proj.weight"))
        rows = graph.feed_forward(rows, layer)
    last = graph.op("Reshape", graph.normed(rows, "model.norm.weight"), graph.ints(-1, shape.hidden))
    logits = graph.product(graph.quantised(last), "model.embed_tokens.weight" if tied else "lm_head.weight")
    best, _ = graph.ops("TopK", logits, "k", out=["best", "tokens"], axis=-1)
    top = graph.op("Slice", best, graph.ints(0), graph.ints(1), graph.ints(1))
    total = graph.op("ReduceSum", graph.op("Exp", graph.op("Sub", logits, top)), graph.ints(-1), keepdims=1)
    graph.op("Sub", graph.op("Sub", best, top), graph.op("Log", total), out="logprobs")
    caches = [shape.kv_heads, "room", shape.width]
    numbers, single = TensorProto.INT32, TensorProto.FLOAT
    inputs: list[Any] = [("x", single, ["n", 1, shape.hidden]), ("places", numbers, ["n"]), ("longest", numbers, [])]
    inputs.append(("k", TensorProto.INT64, [1]))
    outputs: list[Any] = [("tokens", TensorProto.INT64, ["n", "k"]), ("logprobs", single, ["n", "k"])]
    inputs += [(name, single, ["n", *caches]) for name in cache_names(shape.layers)]
    outputs += [(name, single, ["n", *caches]) for name in cache_names(shape.layers, "new_")]
    graph.save(path, inputs, outputs, constants)
