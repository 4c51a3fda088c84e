"""What a document sees, and that the blocks of the fused kernel hold all of it."""

import pytest
import torch
from packs import random_rows

from topicgen.training.attention import _block_mask, seen_blocks
from topicgen.training.packing import BLOCK, Fill, Pack, fixed_sizes, pack, plan
from topicgen.training.rows import TokenRow
from topicgen.training.schedule import Schedule
from topicgen.training.settings import TrainingSettings


def visible(one: Pack, kept_only: bool) -> torch.Tensor:
    """(queries, keys) bool, by the definition: the prefix and one's own document, up to one's own position."""
    rows = one.kept if kept_only else torch.arange(len(one.ids))
    result = torch.zeros(len(rows), len(one.ids), dtype=torch.bool)
    for q, row in enumerate(rows.tolist()):
        for k in range(len(one.ids)):
            same = one.documents[row] == one.documents[k] or k < one.prefix
            result[q, k] = same and one.positions[row] >= one.positions[k]
    return result


@pytest.mark.parametrize("kept_only", [False, True])
@pytest.mark.parametrize("prefix", [3, 150])
def test_blocks_of_the_fused_kernel_hold_all_that_is_seen(kept_only: bool, prefix: int) -> None:
    rows = random_rows(25, 160, seed=prefix)
    one = pack(tuple(range(prefix)), rows, Fill(640, 128))
    exact = visible(one, kept_only)
    used = exact[: one.kept_bounds[-1][1]] if kept_only else exact[: one.bounds[-1][1]]
    blocks = seen_blocks(one, kept_only).repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
    assert not (used & ~blocks[: len(used)]).any()
    assert blocks.float().mean() < 1  # some blocks are skipped, or the mask would be of no use


@pytest.mark.parametrize("kept_only", [False, True])
def test_mask_of_the_fused_kernel_is_the_definition(kept_only: bool) -> None:
    one = pack((1, 2, 3), random_rows(9, 160, seed=1), Fill(256, 128))
    mask = _block_mask(one, kept_only)
    q, k = torch.meshgrid(torch.arange(mask.seq_lengths[0]), torch.arange(256), indexing="ij")
    zero = torch.zeros_like(q)
    assert torch.equal(mask.mask_mod(zero, zero, q, k), visible(one, kept_only))


def test_packs_hold_every_row_once_and_are_nearly_equal() -> None:
    lengths = [len(row.ids) for row in random_rows(60, 160)]
    groups = plan(lengths, 4, 128)
    assert sorted(i for group in groups for i in group) == list(range(60))
    sizes = [sum(lengths[i] for i in group) for group in groups]
    assert max(sizes) <= 124
    assert max(sizes) - min(sizes) <= max(lengths)


def test_fixed_sizes_waste_little_and_fit_the_longest() -> None:
    rows = random_rows(2000, 160)
    schedule = Schedule(tuple(len(row.ids) for row in rows), 640, TrainingSettings())
    steps = [[rows[i] for i in schedule.chosen(step)] for step in range(3)]
    fill = fixed_sizes(4, steps, 4096)
    used = sum(len(row.ids) for step in steps for row in step)
    packs = sum(len(plan([len(row.ids) for row in step], 4, fill.tokens)) for step in steps)
    assert packs == 6
    assert used / (packs * fill.tokens) > 0.95
    assert (
        fixed_sizes(4, [[TokenRow((5,) * 300, 290)]], 64).tokens == 384
    )  # longer than the capacity: a text is never refused
    assert fill.tokens % BLOCK == fill.kept % BLOCK == 0
