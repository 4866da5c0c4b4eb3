"""A made-up shop whose truth is known: people, what they do, and the files their channels send.

Add here: nothing; the parts are modules beside this one.
Not here: anything the product imports; only tests, benchmarks and the demo use this package.

``python -m simulation --home HOME`` writes ``HOME/landing`` and ``HOME/truth``. The engine makes
clean records (``feeds``), ``delivery`` turns them into the channels' own dirty files. Nobody in
this world exists: every name, number and address is put together from short made-up lists.
"""
