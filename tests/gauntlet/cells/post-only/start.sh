with_shim post-only --upgrade=refuse
