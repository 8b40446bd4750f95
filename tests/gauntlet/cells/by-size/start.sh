with_shim by-size
