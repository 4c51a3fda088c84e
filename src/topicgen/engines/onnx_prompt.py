"""The ONNX graph of a Llama in int8 that computes the keys and values of a prompt."""

from pathlib import Path

import numpy as np

from topicgen.engines.onnx_graph import MICROSOFT, Constants, Graph, cache_names

BLOCKS = 4  # of rows: each attends to keys up to its own end, and its scores stay in the core's cache
HIDDEN = -1e9  # score of a key that a row may not see


def save_prompt_graph(graph: Graph, path: Path, constants: Constants) -> None:
    """x (1, tokens, hidden), embeddings -> k0, v0, ...: (1, kv_heads, tokens, width).

    Nobody reads what the last layer makes of a prompt but its keys and values, so it computes no more.
    """
    from onnx import TensorProto

    shape, rows = graph.shape, "x"
    blocks = _Blocks(graph)
    for number in range(shape.layers):
        layer = f"model.layers.{number}."
        attention = f"{layer}self_attn."
        normed = graph.quantised(graph.normed(rows, layer + "input_layernorm.weight"))
        keys = blocks.rotated(graph.product(normed, attention + "k_proj.weight"), shape.kv_heads)
        values = graph.product(normed, attention + "v_proj.weight")
        keys, values = (blocks.by_head(x, f"{kind}{number}") for x, kind in ((keys, "k"), (values, "v")))
        if number == shape.layers - 1:
            break
        queries = blocks.rotated(graph.product(normed, attention + "q_proj.weight"), shape.heads)
        attended = blocks.attended(queries, keys, values)
        rows = graph.op("Add", rows, graph.product(graph.quantised(attended), attention + "o_proj.weight"))
        rows = graph.feed_forward(rows, layer)
    outputs = [
        (name, TensorProto.FLOAT, [1, shape.kv_heads, "tokens", shape.width]) for name in cache_names(shape.layers)
    ]
    graph.save(path, [("x", TensorProto.FLOAT, [1, "tokens", shape.hidden])], outputs, constants)


class _Blocks:
    """Causal attention of one prompt, in blocks of its rows."""

    def __init__(self, graph: Graph) -> None:
        from onnx import TensorProto

        self._graph, op, ints = graph, graph.op, graph.ints
        self._start = graph.constant("start", np.array([0], np.int64))
        tokens = op("Slice", op("Shape", "x"), ints(1), ints(2), ints(0))
        size = op("Div", op("Add", tokens, ints(BLOCKS - 1)), ints(BLOCKS))
        self._cuts = [op("Min", op("Mul", size, ints(number)), tokens) for number in range(BLOCKS + 1)]
        one, none = graph.constant("one", np.int64(1)), graph.constant("none", np.int64(0))
        place = op("Cast", op("Range", none, op("Squeeze", tokens), one), to=TensorProto.FLOAT)
        hidden, seen = graph.constant("hidden", np.float32(HIDDEN)), graph.constant("seen", np.float32(0))
        self._masks = []  # (rows, 1, keys) of each block, the same in all layers
        for first, last in zip(self._cuts, self._cuts[1:], strict=False):
            key = op("Reshape", op("Slice", place, ints(0), last), ints(1, 1, -1))
            row = op("Reshape", op("Slice", place, first, last), ints(-1, 1, 1))
            self._masks.append(op("Where", op("Greater", key, row), hidden, seen))

    def rotated(self, rows: str, heads: int) -> str:
        return self._graph.op(
            "RotaryEmbedding", rows, self._start, *self._graph.rotary, domain=MICROSOFT, num_heads=heads
        )

    def by_head(self, rows: str, name: str) -> str:
        """(1, tokens, kv_heads x width) -> (1, kv_heads, tokens, width)."""
        op, ints, shape = self._graph.op, self._graph.ints, self._graph.shape
        if shape.kv_heads == 1:
            return op("Reshape", rows, ints(1, 1, -1, shape.width), out=name)
        heads = op("Reshape", rows, ints(1, -1, shape.kv_heads, shape.width))
        return op("Transpose", heads, perm=[0, 2, 1, 3], out=name)

    def attended(self, queries: str, keys: str, values: str) -> str:
        op, ints, shape = self._graph.op, self._graph.ints, self._graph.shape
        group, factor = shape.heads // shape.kv_heads, shape.width**-0.5
        made = []
        for number, mask in enumerate(self._masks):
            first, last = self._cuts[number], self._cuts[number + 1]
            # Rows are (token, head of the group), so that one product serves all query heads of a key head.
            rows = op(
                "Reshape", op("Slice", queries, first, last, ints(1)), ints(-1, shape.kv_heads, group * shape.width)
            )
            rows = op("Reshape", op("Transpose", rows, perm=[1, 0, 2]), ints(1, shape.kv_heads, -1, shape.width))
            seen = [op("Slice", each, ints(0), last, ints(2)) for each in (keys, values)]
            scores = op("FusedMatMul", rows, seen[0], domain=MICROSOFT, transB=1, alpha=factor)
            scores = op("Reshape", scores, op("Concat", ints(shape.kv_heads, -1, group), last, axis=0))
            weights = op("Softmax", op("Add", scores, mask), axis=-1)
            weights = op("Reshape", weights, op("Concat", ints(1, shape.kv_heads, -1), last, axis=0))
            rows = op("Reshape", op("MatMul", weights, seen[1]), ints(shape.kv_heads, -1, group * shape.width))
            made.append(op("Reshape", op("Transpose", rows, perm=[1, 0, 2]), ints(1, -1, shape.heads * shape.width)))
        return op("Concat", *made, axis=1)
