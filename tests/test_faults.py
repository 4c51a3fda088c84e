"""The list of faults: where each one is tested."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent

COVERED = {
    1: "test_cli_faults.py 1 BOM",
    2: "test_cli_faults.py 2 UTF-16",
    3: "test_cli_faults.py test_fault_3_",
    4: "test_cli_faults.py 4 NUL",
    5: "test_cli_faults.py test_fault_5_",
    6: "test_cli_faults.py 6 emoji",
    7: "test_cli_faults.py 7 right-to-left override",
    8: "test_cli_faults.py 8 empty file",
    9: "test_cli_faults.py test_fault_9_",
    10: "test_cli_faults.py test_fault_10_",
    11: "test_cli_faults.py test_fault_11_",
    12: "test_cli_faults.py test_fault_12_",
    13: "test_cli_faults.py 13 duplicate ids",
    14: "test_cli_faults.py 14 ragged CSV",
    15: "test_cli_faults.py 15 broken JSONL",
    16: "test_cli_faults.py test_fault_16_",
    17: "test_cli_faults.py 17 nulls",
    18: "test_cli_faults.py 18 number as text",
    19: "test_cli_faults.py test_fault_19_",
    20: "test_reader.py bomb",
    21: "test_cli_errors.py pipe.txt: a named pipe",
    22: "test_cli_faults.py 22 deep JSON",
    23: "test_prompt.py test_markers_in_a_document_are_plain_text",
    24: "test_cli_faults.py test_fault_23_and_24_",
    25: "test_phrase.py test_hostile_answers_take_bounded_time",
    26: "training/test_loop.py test_a_loss_that_is_no_number_stops_and_keeps_earlier_checkpoints",
    27: "training/test_train_command.py test_full_gpu_memory_is_one_line_that_says_what_to_lower",
    28: "training/test_checkpoint.py test_full_disk_leaves_the_previous_checkpoint",
    29: "training/test_interruption.py test_signals_leave_a_checkpoint_and_the_same_command_finishes",
    30: "training/test_interruption.py test_killed_runs_end_with_the_bytes_of_an_uninterrupted_one",
    31: "training/test_loop.py test_a_truncated_checkpoint_falls_back_to_the_one_before_with_a_warning",
    32: "training/test_loop.py test_flipped_bytes_are_refused",
    33: "training/test_train_command.py test_an_adapter_on_another_base_is_refused",
    34: "test_adapters.py no adapter_config.json beside adapter_model.safetensors",
    35: "test_models.py test_pickled_weights_are_refused",
    36: "test_models.py test_config_that_asks_for_code_of_the_model_is_refused",
    37: "training/test_train_command.py test_no_trainable_example_is_said_before_a_model_loads",
    38: "runs/test_kills.py test_runs_killed_at_random_moments_resume_to_the_same_bytes",
    39: "runs/test_run.py test_a_torn_end_is_cut_off",
    40: "runs/test_full_disk.py test_a_full_disk_ends_in_one_line_and_the_run_goes_on_when_there_is_room",
    41: "runs/test_full_disk.py test_a_read_only_disk_fails_before_the_model_loads",
    42: "runs/test_run.py test_a_second_writer_is_refused_before_the_model_loads",
    43: "runs/test_run.py test_what_changed_is_told_and_refused",
    44: "test_cli_process.py test_interrupted_run_keeps_whole_rows",
    45: "test_cli_process.py test_reader_that_leaves_early_ends_the_run_quietly",
    46: "test_cli.py test_formulas_are_escaped_on_request",
    47: "themes/test_report_page.py script",
    48: "serving/test_served_faults.py test_fault_48_",
    49: "serving/test_served_faults.py test_fault_49_",
    50: "serving/test_served_faults.py test_fault_50_",
    51: "serving/test_served_faults.py test_fault_51_",
    52: "serving/test_served_faults.py test_fault_52_",
    53: "serving/test_served_faults.py test_fault_53_",
    54: "serving/test_served_drain.py test_fault_54_",
}


def test_every_fault_is_listed() -> None:
    assert set(COVERED) == set(range(1, 55))


@pytest.mark.parametrize(("number", "where"), COVERED.items())
def test_listed_test_exists(number: int, where: str) -> None:
    name, _, mark = where.partition(" ")
    assert mark in (TESTS / name).read_text(encoding="utf-8"), number
