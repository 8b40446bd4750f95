with_shim max-frame
