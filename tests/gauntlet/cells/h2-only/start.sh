with_shim only-h2
