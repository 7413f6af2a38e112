"""The surface that notebooks use."""

import subprocess
import sys

import ensemble_mammo


def test_every_name_of_the_surface_is_there_and_documented():
    for name in ensemble_mammo.__all__:
        assert getattr(ensemble_mammo, name).__doc__, name


def test_the_surface_is_kept_sorted_and_complete():
    assert list(ensemble_mammo.__all__) == sorted(ensemble_mammo.__all__, key=str.lower)
    assert set(ensemble_mammo.__all__) == set(ensemble_mammo._MODULE_OF)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, ensemble_mammo; print([m for m in ('torch', 'pandas', 'pydicom') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
