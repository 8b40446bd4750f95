with_shim timed --upgrade=refuse
