"""The small process between a worker and everything else: it owns the worker's terminal and outlives the notebook.

Run by path as ``python -I -S …/shim/start.py`` with its orders as one JSON object on standard input; standard library
only, since it must start in tens of milliseconds and stay small. ``start.py`` is all that is compiled each time, the
rest comes from its cache. ``loop.py`` says what goes over the socket, ``tree.py`` finds and ends a worker's processes,
``terminal.py`` is what it reads and writes, ``log.py`` keeps what it prints, ``masker.py`` keeps credentials out of
that: ``needles.py`` finds them, ``plain.py`` sees through colours and wraps, ``joined.py`` through texts in pieces.
"""
