"""A function on packs in, its compiled form out."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

SHAPES = 64  # compiled forms of one function; beyond the default of 8 it would run uncompiled, without a word


@cache
def compiled(function: Callable[..., Any], *, any_rows: bool = False) -> Callable[..., Any]:
    """Compiles a function.

    Functions with matrix products are compiled once for each shape; packs are filled up to one shape, because each
    costs half a minute. One form for all lengths was tried: torch 2.11 did not finish compiling it in five minutes.
    Functions without them take seconds, so that those may have ``any_rows``: a first form for the first number of
    rows, and one for all others.
    """
    torch._dynamo.config.recompile_limit = SHAPES
    return torch.compile(function, dynamic=None if any_rows else False)
