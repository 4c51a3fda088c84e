"""Matrices in 4 bits: a layer made dense in one call has the values of each matrix made dense alone."""

import pytest
import torch

from topicgen.training.base import FourBit

functional = pytest.importorskip("bitsandbytes.functional")

SHAPES = {
    "whole blocks of scales": ((128, 512), (64, 512), (64, 512), (512, 128), (256, 512), (256, 512), (512, 256)),
    "cut blocks of scales": ((128, 64), (32, 64), (32, 64), (64, 128), (192, 64), (192, 64), (64, 192)),
}


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("nested", [True, False])
def test_layer_in_four_bits_has_the_values_of_its_matrices(shapes: tuple[tuple[int, int], ...], nested: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    # Matrices of very different size, so that a wrong scale or offset shows.
    weights = [torch.randn(shape, generator=generator) * 3.0**n for n, shape in enumerate(shapes)]
    parts = [functional.quantize_4bit(w, quant_type="nf4", compress_statistics=nested) for w in weights]
    alone = [functional.dequantize_4bit(values, state) for values, state in parts]
    expected = [torch.cat(alone[:3]), alone[3], torch.cat(alone[4:6]), alone[6]]
    groups = [(len(matrix), matrix.shape[1]) for matrix in expected]
    buffer = torch.full((sum(n * m for n, m in groups),), torch.nan)
    frozen = FourBit(parts, [torch.ones(1), torch.ones(1)], buffer, groups)()
    made = (frozen.qkv, frozen.o, frozen.gate_up, frozen.down)
    for matrix, wanted in zip(made, expected, strict=True):
        assert isinstance(matrix, torch.Tensor)
        assert torch.equal(matrix, wanted)
