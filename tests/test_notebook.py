"""The notebook of docs/ runs from top to bottom."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_notebook_runs_and_ends_with_a_map():
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    last = notebook.cells[-1]["outputs"][-1]["data"]["text/plain"]
    assert last.startswith("((1152, ")
    assert float(last.split(", ")[-1].rstrip(")")) > 0
