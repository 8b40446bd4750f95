with_shim plain --upgrade=hang
