with_shim one-late
