python3 "$cell/full.py" "$PORT" &
with_shim tcp
