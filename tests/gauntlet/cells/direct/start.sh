with_shim tcp
