with_shim events-only --upgrade=refuse
