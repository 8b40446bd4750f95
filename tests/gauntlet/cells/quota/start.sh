with_shim quota
