with_shim by-size --upgrade=refuse
