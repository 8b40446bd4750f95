with_shim far
