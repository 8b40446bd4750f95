with_shim one-late --upgrade=refuse
