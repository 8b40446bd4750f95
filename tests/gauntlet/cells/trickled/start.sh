with_shim trickled --upgrade=refuse
