"""Token rows -> rows with a label for each token, and padded batches of them, as trainers of transformers take them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from topicgen.training.rows import TokenRow

IGNORED = -100
"""The label of a token without loss, by PyTorch's convention."""


def labelled_columns(prefix: Sequence[int], rows: Sequence[TokenRow]) -> dict[str, list[list[int]]]:
    """``input_ids`` with the prefix, and ``labels``: the topic and the token that ends it, IGNORED elsewhere.

    Labels stand at their own tokens; models of transformers shift them.
    """
    return {
        "input_ids": [[*prefix, *row.ids] for row in rows],
        "labels": [[IGNORED] * (len(prefix) + row.answer) + list(row.ids[row.answer :]) for row in rows],
    }


@dataclass(frozen=True, slots=True)
class Padding:
    """Rows -> one batch, shorter rows filled up at their end, where a causal model sees nothing of it.

    Attributes:
        filling: Token id that fills.
    """

    filling: int

    def __call__(self, rows: Sequence[Mapping[str, Sequence[int]]]) -> dict[str, torch.Tensor]:
        """``input_ids``, ``attention_mask`` and ``labels``, each (rows, longest row)."""
        longest = max(len(row["input_ids"]) for row in rows)

        def filled(name: str, value: int) -> torch.Tensor:
            return torch.tensor([[*row[name], *[value] * (longest - len(row[name]))] for row in rows])

        mask = [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
        return {
            "input_ids": filled("input_ids", self.filling),
            "attention_mask": torch.tensor(mask),
            "labels": filled("labels", IGNORED),
        }


def learned_tokens(batch: Mapping[str, torch.Tensor]) -> list[int]:
    """The tokens of a batch that have loss, in their order."""
    labels = batch["labels"]
    return [int(token) for token in labels[labels != IGNORED].tolist()]
