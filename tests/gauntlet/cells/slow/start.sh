with_shim slow
