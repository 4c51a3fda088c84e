"""Runs topicgen.ipynb and saves it with its outputs: python notebooks/run.py"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
NOTEBOOK = FOLDER / "topicgen.ipynb"


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with fresh outputs, and without what differs from run to run.

    Raises:
        nbclient.exceptions.CellExecutionError: When a cell fails.
    """
    commands = Path(sys.executable).parent  # of this environment, whether or not it is activated
    path_of_commands = f"{commands}{os.pathsep}{os.environ['PATH']}"
    # Warnings name folders of this machine.
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PATH": path_of_commands, "PYTHONWARNINGS": "ignore"}
    notebook = nbformat.read(path, as_version=4)
    here = {"metadata": {"path": str(FOLDER)}}
    with tempfile.TemporaryDirectory(prefix="topicgen-") as sockets:  # files rather than ports
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")
        options = {"timeout": 600, "startup_timeout": 300, "resources": here, "record_timing": False}
        options["coalesce_streams"] = True  # where a line was cut differs from run to run
        NotebookClient(notebook, kernel, **options).execute(env=environment)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(NOTEBOOK), NOTEBOOK)
