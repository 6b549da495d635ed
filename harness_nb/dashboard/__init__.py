"""The page: a project's board in a browser, served by Voilà on this machine alone.

``server`` listens, ``gate`` lets only this page's own requests in, ``visits`` ends the kernels of those who went,
``kernel`` is what such a kernel runs, and ``proxy`` is how JupyterHub and Binder reach all this.
"""
