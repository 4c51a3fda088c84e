"""Settings of training in, the options of TRL's trainer out."""

from typing import Any

from topicgen.training.settings import TrainingSettings


def sft_options(settings: TrainingSettings, steps: int, every: int, longest: int, *, gpu: bool) -> dict[str, Any]:
    """Our settings by the names of TRL's, and all that would else go by a default of TRL, transformers or Unsloth.

    Args:
        steps: Optimiser steps of the run.
        every: Steps between evaluations.
        longest: Tokens of the longest row.
        gpu: Whether there is one: bfloat16, and AdamW with its state in 8 bits.
    """
    return {
        "per_device_train_batch_size": settings.per_device_train_batch_size,
        "per_device_eval_batch_size": settings.per_device_train_batch_size,
        "gradient_accumulation_steps": settings.gradient_accumulation_steps,
        "max_steps": steps,
        "learning_rate": settings.learning_rate,  # the trainer below has our schedule
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "optim": "adamw_torch" if settings.optim == "adamw" or not gpu else "adamw_8bit",
        "seed": settings.seed,
        "data_seed": settings.seed,
        "bf16": gpu,
        "fp16": False,
        "use_cpu": not gpu,
        "max_length": longest,
        "packing": False,
        "padding_free": False,
        "dataset_kwargs": {"skip_prepare_dataset": True},  # rows are tokens with labels already
        "remove_unused_columns": False,
        "eval_strategy": "steps",
        "eval_steps": every,
        "prediction_loss_only": True,
        "metric_for_best_model": "eval_loss",  # so that the best checkpoint outlives later ones
        "greater_is_better": False,
        "load_best_model_at_end": False,
        "save_strategy": "steps",
        "save_steps": settings.save_steps or every,
        "save_total_limit": settings.save_total_limit,
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
        "report_to": "none",
        "gradient_checkpointing": False,  # Unsloth's is a setting of its model
        "push_to_hub": False,
    }
