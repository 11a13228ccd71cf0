"""Compiles the strategy next to this file: python setup.py build_ext --inplace"""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

import mexcfast

setup(
    name="pressure", version="1.0", py_modules=[],
    # mexcfast's .pxd files lie in the installed package; Cython looks for them from its parent.
    ext_modules=cythonize([Extension("pressure", ["pressure.pyx"])],
                          include_path=[str(Path(mexcfast.__file__).parents[1])]))
