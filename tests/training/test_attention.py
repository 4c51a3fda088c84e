"""What a document sees, and that the blocks of the fused kernel hold all of it."""

import pytest
import torch
from packs import random_rows

from topicgen.training.attention import Fused, PerDocument, block_mask, copies, seen_blocks
from topicgen.training.packing import BLOCK, Fill, Pack, fixed_sizes, pack, plan
from topicgen.training.rows import TokenRow
from topicgen.training.schedule import Schedule
from topicgen.training.settings import TrainingSettings


def visible(one: Pack, kept_only: bool) -> torch.Tensor:
    """(queries, keys) bool, by the definition: the prefix and one's own document, up to one's own position."""
    rows = one.kept if kept_only else torch.arange(len(one.ids))
    keys = torch.arange(len(one.ids))
    same = (one.documents[rows, None] == one.documents) | (keys < one.prefix)
    return same & (one.positions[rows, None] >= one.positions)


def folded(seen: torch.Tensor, one: Pack, kept_only: bool) -> torch.Tensor:
    """How often each query sees each token, given what it sees of the copies of the prefix and of the pack."""
    count, room = copies(one, kept_only)
    shared = seen[:, : count * room].view(len(seen), count, room).sum(1)[:, : one.prefix]
    own = seen[:, count * room :].long()
    own[:, : one.prefix] += shared
    return own


@pytest.mark.parametrize("kept_only", [False, True])
@pytest.mark.parametrize("prefix", [0, 3, 150])
def test_mask_of_the_fused_kernel_is_the_definition(kept_only: bool, prefix: int) -> None:
    one = pack(tuple(range(prefix)), random_rows(110, 160, seed=prefix), Fill(1536, 128))
    mask = block_mask(one, kept_only)
    q, k = torch.meshgrid(*map(torch.arange, mask.seq_lengths), indexing="ij")
    zero = torch.zeros_like(q)
    blocks = seen_blocks(one, kept_only).repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
    seen = mask.mask_mod(zero, zero, q, k) & blocks[: len(q), : q.shape[1]]
    used = one.kept_bounds[-1][1] if kept_only else one.bounds[-1][1]
    assert torch.equal(folded(seen, one, kept_only)[:used], visible(one, kept_only)[:used].long())
    assert seen.any(1).all()  # a row that sees nothing would be no number
    assert blocks.float().mean() < 0.6  # blocks are skipped, or the mask would be of no use


@pytest.mark.parametrize("kept_only", [False, True])
def test_fused_kernel_computes_what_documents_alone_do(kept_only: bool) -> None:
    one = pack(tuple(range(20)), random_rows(110, 160, seed=2), Fill(1536, 128))
    generator = torch.Generator().manual_seed(0)
    rows = len(one.kept) if kept_only else 1536
    q = torch.randn(4, rows, 16, generator=generator)
    k, v = (torch.randn(2, 1536, 16, generator=generator) for _ in range(2))
    used = one.kept_bounds[-1][1] if kept_only else one.bounds[-1][1]
    fused, plain = (kind(one, kept_only)(q, k, v)[:, :used] for kind in (Fused, PerDocument))
    assert torch.allclose(fused, plain, atol=1e-5)


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
